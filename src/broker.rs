//! The broker as the fronts see it: a thin asynchronous shell around the pure
//! [`Matcher`], with one lock that is never held across an await.
//!
//! If a request is dropped before it has its reply, because its connection closed, the
//! drop of its guard removes it from the engine.

mod arrived_poll;
mod bridge_health;
mod caller;
mod client_hasher;
mod client_request;
pub mod clock;
mod control;
mod directory;
mod driver;
mod explanation;
mod generations;
#[cfg(test)]
mod in_tests;
mod learning;
mod lending;
pub mod limits;
pub mod loan;
mod lock;
mod marks;
mod next_poll;
pub mod nodes;
pub mod overflow;
pub mod poll_interval;
pub mod private_pools;
mod proxy_request;
mod quotas;
mod rate;
mod rule_counter;
#[cfg(shuttle)]
#[cfg(test)]
mod schedules;
mod settings;
mod shutdown;
mod sid_digests;
mod sightings;
mod source_counts;
mod sources;
mod sources_elsewhere;
mod trace;
mod waiters;
pub mod wanted;

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use fastrand::Rng;
use opentelemetry::global::BoxedTracer;
use tokio::sync::oneshot::Receiver;
use tokio::sync::{Notify, watch};

use crate::bridges::BridgeHealth;
use crate::matching::{self, Matcher, ServiceStage, SupplySettings};
use crate::metrics::Metrics;
use crate::outcomes;

pub use caller::{Caller, NoAnswer, OverLimit, RequestOrigin};
pub use directory::Directory;
pub use explanation::{ExplainedPoll, ExplainedPool, Explanation, RuleForClient};
pub use poll_interval::controller::IntervalController;
pub use poll_interval::{
    CountedFrom, InvalidPollIntervals, Mode, PollInterval, RefusalForm, RefusalsAs, TypeIntervals,
};
pub use proxy_request::AnsweredPoll;
pub use settings::{SERVES_EVERY_RELAY, Settings};
pub use sid_digests::{SidDigest, SidKey};
pub use sightings::{Sighted, Sighting};
pub use source_counts::{ActShares, SourceAct, SourceCounts};
pub use sources_elsewhere::SourceTallies;
pub use waiters::ParkedPollDetails;

use limits::{LimitKey, Limits};
use loan::Lenders;
use lock::{Mutex, MutexGuard};
use nodes::OtherNodes;
use overflow::Overflow;
use private_pools::PrivatePools;
use rate::EventRate;
use sightings::Sightings;
use sources::SourceHasher;
use waiters::{BrokerState, Waiter};

/// The broker's interface for requests. Operators use its [control](Self::control).
#[derive(Debug)]
pub struct Broker {
    state: Mutex<BrokerState>,
    directory: ArcSwap<Directory>,
    bridge_health: ArcSwap<BridgeHealth>,
    metrics: Arc<Metrics>,
    tracer: Option<BoxedTracer>,
    driver_woken: Notify,
    driver_turned: Notify,
    limits: Option<Arc<Limits>>,
    /// The rate of clients of a private pool.
    client_quota: ArcSwapOption<EventRate>,
    overflow: Option<Arc<dyn Overflow>>,
    others: Option<Arc<dyn OtherNodes>>,
    private_pools: Option<Arc<PrivatePools>>,
    lenders: Mutex<Lenders>,
    source_counts: Mutex<SourceCounts>,
    sightings: Option<Mutex<Sightings>>,
    stepped: Notify,
    stage: watch::Sender<ServiceStage>,
}

impl Broker {
    /// Creates a broker without polls or clients. It works only while [`Self::drive`]
    /// runs. `jitter_seed`, a random number, seeds the jitter of the poll intervals.
    pub fn new(
        settings: matching::Settings,
        directory: Directory,
        metrics: Arc<Metrics>,
        jitter_seed: u64,
    ) -> Self {
        let intervals =
            IntervalController::new(directory.poll_interval.clone(), settings.proxy_timeout);
        metrics.know_countries(Arc::clone(&directory.geoip));
        let mut matcher = Matcher::new(settings);
        matcher.set_rules(directory.policy.actions());
        let jitter = Rng::with_seed(jitter_seed);
        let now = clock::now();
        let state = BrokerState::new(
            matcher,
            intervals,
            jitter,
            Arc::clone(&metrics),
            Arc::clone(&directory.policy),
            now,
        );
        Self {
            state: Mutex::new(state),
            directory: ArcSwap::from_pointee(directory),
            bridge_health: ArcSwap::default(),
            metrics,
            tracer: None,
            driver_woken: Notify::new(),
            driver_turned: Notify::new(),
            limits: None,
            client_quota: ArcSwapOption::empty(),
            overflow: None,
            others: None,
            private_pools: None,
            lenders: Mutex::default(),
            source_counts: Mutex::new(SourceCounts::new(now)),
            sightings: None,
            stepped: Notify::new(),
            stage: watch::Sender::default(),
        }
    }

    /// Adds a tracer, which records the rendezvous that it samples.
    #[must_use]
    pub fn traced(mut self, tracer: Option<BoxedTracer>) -> Self {
        self.tracer = tracer;
        self
    }

    /// Shares proxies and clients out by source. `key` is random.
    #[must_use]
    pub fn sharing(mut self, supply: SupplySettings, key: LimitKey) -> Self {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.matcher.set_supply(clock::now(), supply);
        state.sources = Some(SourceHasher::new(clock::now(), key));
        self
    }

    /// Learns from the outcomes of matches. `key` is random.
    #[must_use]
    pub fn learning(mut self, settings: outcomes::Settings, key: LimitKey) -> Self {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.learning.start(clock::now(), settings, key);
        self
    }

    /// Adds peers to ask when there is no proxy here.
    #[must_use]
    pub fn overflowing(mut self, overflow: Option<Arc<dyn Overflow>>) -> Self {
        self.overflow = overflow;
        self
    }

    /// The metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The time limit of a client's request.
    pub fn client_timeout(&self) -> Duration {
        self.lock().matcher.settings().client_timeout
    }

    /// The current directory.
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.load_full()
    }

    /// Runs one step of the engine, then sends its replies.
    fn step<T>(&self, step: impl FnOnce(&mut BrokerState, Instant) -> T) -> T {
        let mut state = self.lock();
        let now = clock::now();
        state.intervals.advance(now);
        // Replies that are due go out first: the new request may reuse the engine's slot,
        // and thus the key, of a request that ends now and has not had its reply.
        state.matcher.handle_timeout(now);
        let mut deliveries = state.take_deliveries(now);
        let result = step(&mut state, now);
        deliveries.extend(state.take_deliveries(now));
        let due = state.matcher.poll_timeout();
        let driver_is_late = match (due, state.driver_sleeps_until) {
            (Some(due), Some(until)) => due < until,
            (due, until) => due.is_some() && until.is_none(),
        };
        drop(state);
        for delivery in deliveries {
            delivery.send();
        }
        if driver_is_late {
            self.driver_woken.notify_one();
        }
        self.stepped.notify_waiters();
        result
    }

    /// Counts what a known source does.
    fn count_source(&self, source: Option<u64>, act: SourceAct) {
        if let Some(source) = source {
            self.source_counts().count(clock::now(), source, act);
        }
    }

    fn source_counts(&self) -> MutexGuard<'_, SourceCounts> {
        let counts = self.source_counts.lock();
        counts.unwrap_or_else(PoisonError::into_inner)
    }

    /// The current stage.
    pub fn stage(&self) -> ServiceStage {
        *self.stage.borrow()
    }

    /// Subscribes to changes of the stage.
    pub fn watch_stage(&self) -> watch::Receiver<ServiceStage> {
        self.stage.subscribe()
    }

    /// Locks the state. The engine finishes each step or panics; after a panic the other
    /// requests continue with the state as it is.
    fn lock(&self) -> MutexGuard<'_, BrokerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's place in the engine. If it is dropped before the reply was taken, for any
/// reason, the request leaves the engine.
#[derive(Debug)]
struct Guard<'a> {
    broker: &'a Broker,
    waiter: Option<Waiter>,
}

impl<'a> Guard<'a> {
    fn new(broker: &'a Broker, waiter: Waiter) -> Self {
        Self {
            broker,
            waiter: Some(waiter),
        }
    }

    /// Waits for the reply; `None` if the broker forgot the request, which happens only
    /// when the broker itself is dropped. To be awaited until it returns.
    async fn reply<T>(&mut self, receiver: &mut Receiver<T>) -> Option<T> {
        let reply = receiver.await.ok();
        self.waiter = None;
        reply
    }

    /// Notes that the request has left the engine.
    fn finish(&mut self) {
        self.waiter = None;
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter {
            self.broker.step(|state, now| state.remove(now, waiter));
        }
    }
}
