//! The broker, as every front sees it: a thin asynchronous shell around the
//! pure [`Matcher`], one lock, never held across an await.
//!
//! A request that is dropped before it has its reply, because its connection
//! closed, leaves the engine by the drop of its guard.

mod caller;
mod client_request;
pub mod clock;
mod driver;
mod ending;
mod knowledge;
mod lending;
pub mod limits;
pub mod loan;
pub mod overflow;
mod poll_interval;
mod refused;
mod settings;
mod trace;
mod waiters;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use fastrand::Rng;
use opentelemetry::global::BoxedTracer;
use tokio::sync::{Notify, watch};

use crate::geoip::CountryCode;
use crate::matching::{self, AnswerOutcome, Matcher, NoMatch, PollReply, ServiceStage, SidInUse};
use crate::metrics::exposition::Format;
use crate::metrics::labels::{Refusal, Request};
use crate::metrics::{GaugeSnapshot, MetricFamily, Metrics, ProcessFigures};
use crate::wire::answer::{AnswerStatus, ProxyAnswer};
use crate::wire::nat::NatClass;
use crate::wire::proxy::{PollResponse, PollStatus, ProxyPoll};

pub use caller::{Caller, Origin};
pub use knowledge::Knowledge;
pub use poll_interval::{InvalidPollIntervals, Mode, PollInterval, Steering};
pub use refused::{NoAnswer, OverLimit};
pub use settings::Settings;

use driver::Driver;
use limits::Limits;
use loan::Lenders;
use overflow::{Overflow, PeerStatus};
use waiters::{Guard, PollEnd, State};

/// A poll that waits for a client.
#[derive(Clone, Copy, Debug)]
pub struct ParkedPoll {
    /// What the engine knows of it.
    pub poll: matching::ParkedPoll,
    /// Where its proxy is.
    pub country: CountryCode,
    /// When its request arrived.
    pub arrived: Instant,
}

/// The broker.
#[derive(Debug)]
pub struct Broker {
    state: Mutex<State>,
    knowledge: ArcSwap<Knowledge>,
    metrics: Arc<Metrics>,
    tracer: Option<BoxedTracer>,
    driver: Driver,
    limits: Option<Limits>,
    overflow: Option<Arc<dyn Overflow>>,
    lenders: Mutex<Lenders>,
    stepped: Notify,
    stage: watch::Sender<ServiceStage>,
}

impl Broker {
    /// A broker in which nothing waits. It needs [`Self::drive`] to be run. The
    /// seed, random, is of the jitter of the poll intervals.
    pub fn new(
        settings: matching::Settings,
        knowledge: Knowledge,
        metrics: Arc<Metrics>,
        jitter_seed: u64,
    ) -> Self {
        let steering = Steering::new(knowledge.poll_interval.clone(), settings.proxy_timeout);
        metrics.know_countries(Arc::clone(&knowledge.geoip));
        let matcher = Matcher::new(settings);
        let jitter = Rng::with_seed(jitter_seed);
        let state = State::new(matcher, steering, jitter, Arc::clone(&metrics));
        Self {
            state: Mutex::new(state),
            knowledge: ArcSwap::from_pointee(knowledge),
            metrics,
            tracer: None,
            driver: Driver::default(),
            limits: None,
            overflow: None,
            lenders: Mutex::default(),
            stepped: Notify::new(),
            stage: watch::Sender::default(),
        }
    }

    /// The same, tracing the rendezvous that the tracer samples.
    #[must_use]
    pub fn traced(mut self, tracer: Option<BoxedTracer>) -> Self {
        self.tracer = tracer;
        self
    }

    /// The same, asking others when there is no proxy here.
    #[must_use]
    pub fn overflowing(mut self, overflow: Option<Arc<dyn Overflow>>) -> Self {
        self.overflow = overflow;
        self
    }

    /// A proxy polls. Its relay pattern is taken out once it is accepted: it may
    /// be as long as a body, and the poll parked for long.
    pub async fn proxy_poll(
        &self,
        caller: Caller,
        poll: &mut ProxyPoll,
    ) -> Result<PollResponse, SidInUse> {
        let record = self.metrics.begin_proxy_poll(poll);
        let knowledge = self.knowledge.load_full();
        if !self.admits(Request::ProxyPoll, caller.origin, || None) {
            record.refuse(Refusal::TooSoon);
            return Ok(self.polled_too_soon());
        }
        if !knowledge.accepts(poll) {
            record.refuse(Refusal::Pattern);
            return Ok(PollResponse {
                status: PollStatus::IncorrectRelayPattern,
                next_poll: self.lock().jittered(knowledge.poll_interval.refused),
            });
        }
        let country = knowledge.country(caller.address);
        if let Some(address) = caller.address {
            self.metrics.proxy_seen(address, poll);
        }
        poll.accepted_relay_pattern = None;
        let added = self.step(|state, now| state.add_poll(now, caller.arrived, poll, country));
        let (waiter, mut receiver) = match added {
            Ok(added) => added,
            Err(in_use) => {
                record.refuse(Refusal::SidInUse);
                return Err(in_use);
            }
        };
        let end = Guard::new(self, waiter).reply(&mut receiver).await;
        let end = end.unwrap_or_else(|| PollEnd {
            reply: PollReply::NoMatch(NoMatch::Evicted),
            next_poll: knowledge.poll_interval.fixed(NatClass::of(poll.nat)),
        });
        match &end.reply {
            PollReply::Offer(_) => record.matched(),
            PollReply::NoMatch(NoMatch::Overloaded) => record.refuse(Refusal::Overloaded),
            PollReply::NoMatch(NoMatch::Idle | NoMatch::NotParked | NoMatch::Evicted) => {
                record.idle();
            }
        }
        Ok(poll_response(end))
    }

    /// The response to a proxy that is where more come from than may.
    pub fn polled_too_soon(&self) -> PollResponse {
        let interval = self.knowledge.load().poll_interval.overloaded;
        PollResponse {
            status: PollStatus::PolledTooSoon,
            next_poll: self.lock().jittered(interval),
        }
    }

    /// A proxy answers.
    pub fn proxy_answer(
        &self,
        caller: Caller,
        answer: ProxyAnswer,
    ) -> Result<AnswerStatus, OverLimit> {
        if !self.admits(Request::ProxyAnswer, caller.origin, || None) {
            self.metrics.bad_proxy_answer(Refusal::Limit);
            return Err(OverLimit);
        }
        let outcome =
            self.step(|state, now| state.matcher.handle_answer(now, &answer.sid, answer.answer));
        Ok(match outcome {
            AnswerOutcome::Delivered => AnswerStatus::Success,
            _ => AnswerStatus::ClientGone,
        })
    }

    /// What is waiting.
    pub fn snapshot(&self) -> matching::Snapshot {
        self.lock().matcher.snapshot()
    }

    /// Every parked poll, in no particular order.
    pub fn parked_polls(&self) -> Vec<ParkedPoll> {
        self.lock().parked_polls()
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Every metric as text.
    pub fn expose_metrics(&self, process: Option<ProcessFigures>, format: Format) -> String {
        self.metrics.expose(&self.waiting(), process, format)
    }

    /// The metrics that the reference broker has, as text: what anybody may read.
    pub fn expose_published_metrics(&self, format: Format) -> String {
        self.metrics.expose_published(&self.waiting(), format)
    }

    /// Every metric that tells no country, as data.
    pub fn export_metrics(
        &self,
        process: Option<ProcessFigures>,
    ) -> Result<Vec<MetricFamily>, fmt::Error> {
        self.metrics.export(&self.waiting(), process)
    }

    /// Replaces what the broker knows.
    pub fn set_knowledge(&self, knowledge: Knowledge) {
        self.put_in_force(&mut self.lock(), knowledge);
        self.tell_countries();
    }

    /// Changes a part of what the broker knows.
    pub fn update_knowledge(&self, change: impl FnOnce(&mut Knowledge)) {
        // Under the lock, so that no change is lost to another.
        let mut state = self.lock();
        let mut knowledge = Knowledge::clone(&self.knowledge.load());
        change(&mut knowledge);
        self.put_in_force(&mut state, knowledge);
        drop(state);
        self.tell_countries();
    }

    fn put_in_force(&self, state: &mut State, knowledge: Knowledge) {
        state.steering.set_settings(knowledge.poll_interval.clone());
        self.knowledge.store(Arc::new(knowledge));
        self.stepped.notify_waiters();
    }

    /// Not under the lock: whoever waits to be counted is, and they may be many.
    fn tell_countries(&self) {
        let geoip = Arc::clone(&self.knowledge.load().geoip);
        self.metrics.know_countries(geoip);
    }

    /// Replaces the settings of the matching engine; who waits already keeps its
    /// deadlines.
    pub fn set_matching(&self, settings: matching::Settings) {
        self.step(|state, _| {
            state.steering.set_proxy_timeout(settings.proxy_timeout);
            state.matcher.set_settings(settings);
        });
    }

    /// The settings of the matching engine.
    pub fn matching(&self) -> matching::Settings {
        self.lock().matcher.settings().clone()
    }

    /// How long a client waits in all.
    pub fn client_timeout(&self) -> Duration {
        self.lock().matcher.settings().client_timeout
    }

    /// What the broker knows now.
    pub fn knowledge(&self) -> Arc<Knowledge> {
        self.knowledge.load_full()
    }

    /// One step of the engine, then out with its replies.
    fn step<T>(&self, step: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let now = clock::now();
        state.steering.advance(now);
        // What is due goes out first: a new request may be given the place, and the
        // key's slot, of one that ends now and has not had its reply.
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
            self.driver.wake();
        }
        self.stepped.notify_waiters();
        result
    }

    /// Whether polls are parked and clients matched.
    pub fn stage(&self) -> ServiceStage {
        *self.stage.borrow()
    }

    /// The same, for who wants to know when it changes.
    pub fn watch_stage(&self) -> watch::Receiver<ServiceStage> {
        self.stage.subscribe()
    }

    /// What is known of each broker that may be asked when there is no proxy here.
    pub fn peers(&self) -> Vec<PeerStatus> {
        let overflow = self.overflow.as_ref();
        overflow.map_or_else(Vec::new, |overflow| overflow.peers())
    }

    /// What is waiting, as metrics tell it.
    pub fn waiting(&self) -> GaugeSnapshot {
        let lenders = self.peers().into_iter().filter(|peer| peer.borrows);
        let peers = lenders.map(|peer| peer.figures).collect();
        let mut state = self.lock();
        state.steering.advance(clock::now());
        let snapshot = state.matcher.snapshot();
        let intervals = NatClass::ALL.into_iter();
        let intervals = intervals.map(|pool| (pool, state.steering.interval(pool)));
        GaugeSnapshot {
            peers,
            poll_intervals: intervals.collect(),
            parked: snapshot.parked,
            matched: snapshot.matched_clients,
            queued: state.matcher.queued_by_class(),
        }
    }

    /// The engine finishes each step or panics; should it ever, the others
    /// go on with what it left.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn poll_response(end: PollEnd) -> PollResponse {
    let status = match end.reply {
        PollReply::NoMatch(_) => PollStatus::NoMatch,
        PollReply::Offer(hand_off) => PollStatus::ClientMatch {
            offer: hand_off.offer.offer,
            nat: hand_off.offer.nat,
            relay_url: hand_off.offer.relay_url,
        },
    };
    PollResponse {
        status,
        next_poll: end.next_poll,
    }
}
