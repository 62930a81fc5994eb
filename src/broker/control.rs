//! The operator's control of a broker: drain, reload and snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::matching::{self, Matcher};
use crate::metrics::exposition::Format;
use crate::metrics::labels::PeerName;
use crate::metrics::{GaugeSnapshot, Impact, ProcessFigures};
use crate::outcomes::{self, OutcomeTotals, SavedOutcomes};
use crate::policy::{self, Policy};
use crate::wire::nat::NatClass;
use crate::wire::proxy::ProxyTypes;

use super::Broker;
use super::clock::{self, Reading};
use super::directory::Directory;
use super::explanation::Explanation;
use super::limits;
use super::loan::{Lending, Terms};
use super::nodes::{ClusterStatus, OtherNodes};
use super::overflow::PeerStatus;
use super::private_pools::PrivatePool;
use super::source_counts::SourceCounts;
use super::waiters::{BrokerState, ParkedPollDetails};

/// The operator's interface to a broker, separate from that for requests.
#[derive(Clone, Copy, Debug)]
pub struct BrokerControl<'a> {
    pub(super) broker: &'a Broker,
}

impl Broker {
    /// The broker's control.
    pub fn control(&self) -> BrokerControl<'_> {
        BrokerControl { broker: self }
    }
}

impl BrokerControl<'_> {
    /// Announces a successor, another broker that will take this one's place. Proxies
    /// that poll a lame duck or a draining broker are then told to return soon; otherwise
    /// they return at their usual interval.
    pub fn expect_successor(self) {
        self.broker.lock().has_successor = true;
        for pool in self.private_pools() {
            pool.broker.control().expect_successor();
        }
    }

    /// Returns true if a successor was announced.
    pub fn expects_successor(self) -> bool {
        self.broker.lock().has_successor
    }

    /// Stops parking polls. Clients are served from polls that are parked or that still
    /// arrive.
    pub fn start_lame_duck(self) {
        self.change_stage(|matcher, _| matcher.start_lame_duck());
        for pool in self.private_pools() {
            pool.broker.control().start_lame_duck();
        }
    }

    /// Resumes normal service after a lame duck or a drain.
    pub fn resume(self) {
        self.change_stage(|matcher, _| matcher.resume());
        for pool in self.private_pools() {
            pool.broker.control().resume();
        }
    }

    /// Stops matching, and lets waiting polls and clients go.
    pub fn start_draining(self) {
        self.change_stage(Matcher::start_draining);
        for pool in self.private_pools() {
            pool.broker.control().start_draining();
        }
    }

    /// Starts draining, and returns when the last matched client has its reply, also of
    /// private pools.
    pub async fn drain(self) {
        self.start_draining();
        self.has_drained().await;
        for pool in self.private_pools() {
            pool.broker.control().has_drained().await;
        }
    }

    async fn has_drained(self) {
        loop {
            let stepped = self.broker.stepped.notified();
            if self.snapshot().matched_clients == 0 {
                return;
            }
            stepped.await;
        }
    }

    /// All private pools.
    pub fn private_pools(self) -> Vec<Arc<PrivatePool>> {
        let pools = self.broker.private_pools();
        pools.map_or_else(Vec::new, |pools| pools.all())
    }

    fn change_stage(self, change: impl FnOnce(&mut Matcher, Instant)) {
        self.broker.step(|state, now| {
            change(&mut state.matcher, now);
            // Sent under the lock, so that changes are sent in their order.
            self.broker.stage.send_replace(state.matcher.stage());
        });
    }

    /// Replaces the directory.
    pub fn set_directory(self, directory: Directory) {
        self.put_in_force(&mut self.broker.lock(), directory);
        self.tell_directory();
    }

    /// Changes part of the directory.
    pub fn update_directory(self, change: impl FnOnce(&mut Directory)) {
        // Under the lock, so that concurrent changes are not lost.
        let mut state = self.broker.lock();
        let mut directory = Directory::clone(&self.broker.directory.load());
        change(&mut directory);
        self.put_in_force(&mut state, directory);
        drop(state);
        self.tell_directory();
    }

    fn put_in_force(self, state: &mut BrokerState, directory: Directory) {
        state
            .intervals
            .set_settings(directory.poll_interval.clone());
        let policy = Policy::clone(&directory.policy).after(state.learning.rules.policy());
        let directory = Directory {
            policy: put_rules_in_force(state, policy),
            ..directory
        };
        self.broker.directory.store(Arc::new(directory));
        self.broker.stepped.notify_waiters();
    }

    /// Passes the countries on to the metrics, and the directory to private pools. Not under
    /// the lock, because many visitors may be waiting to be counted.
    fn tell_directory(self) {
        let directory = self.broker.directory.load_full();
        let geoip = Arc::clone(&directory.geoip);
        self.broker.metrics.know_countries(geoip);
        for pool in self.private_pools() {
            pool.follow(&directory);
        }
    }

    /// Replaces the settings of the matching engine. Polls and clients already waiting
    /// keep their deadlines.
    pub fn set_matching(self, settings: matching::Settings) {
        for pool in self.private_pools() {
            pool.set_matching(&settings);
        }
        self.broker.step(|state, _| {
            state.intervals.set_proxy_timeout(settings.proxy_timeout);
            state.matcher.set_settings(settings);
        });
    }

    /// Replaces the limits of sources.
    pub fn set_supply(self, supply: matching::SupplySettings) {
        for pool in self.private_pools() {
            pool.set_supply(supply.clone());
        }
        self.broker
            .step(|state, now| state.matcher.set_supply(now, supply));
    }

    /// Replaces the settings of outcomes.
    pub fn set_outcomes(self, settings: outcomes::Settings) {
        for pool in self.private_pools() {
            pool.set_outcomes(settings.clone());
        }
        self.broker.lock().learning.outcomes.set_settings(settings);
    }

    /// The settings of outcomes.
    pub(super) fn outcomes(self) -> outcomes::Settings {
        self.broker.lock().learning.outcomes.settings().clone()
    }

    /// The totals of the outcomes of matches.
    pub fn outcome_totals(self) -> OutcomeTotals {
        let mut state = self.broker.lock();
        state.learning.advance(clock::now());
        state.learning.outcomes.totals()
    }

    /// The impact since the last block of the metrics log, or since the start if that is
    /// later.
    pub fn impact(self, at: Reading) -> Impact {
        self.broker.lock().learning.advance(at.monotonic);
        self.broker.metrics.impact(at.wall)
    }

    /// The knowledge of kinds of matches, to be saved at this time.
    pub fn saved_outcomes(self, at: Reading) -> SavedOutcomes {
        let state = self.broker.lock();
        state.learning.outcomes.saved(at.monotonic, at.wall)
    }

    /// Continues with what an earlier process knew of kinds of matches.
    pub fn restore_outcomes(self, at: Reading, saved: &SavedOutcomes, types: &ProxyTypes) {
        let mut state = self.broker.lock();
        let outcomes = &mut state.learning.outcomes;
        outcomes.restore(at.monotonic, at.wall, saved, types);
    }

    /// The limits of sources.
    pub fn supply(self) -> matching::SupplySettings {
        self.broker.lock().matcher.supply().clone()
    }

    /// Changes the policy, with the files that were read with the configuration. It holds for
    /// those who come next.
    pub fn set_policy(self, settings: policy::Settings) {
        self.update_directory(|directory| {
            let policy = directory.policy.with_settings(settings);
            directory.policy = Arc::new(policy);
        });
    }

    /// Explains the policy for a client.
    pub fn explain(self, client: &policy::ClientFacts) -> Explanation {
        self.broker.lock().explain(clock::now(), client)
    }

    /// A copy of what each source did lately.
    pub fn source_counts(self) -> SourceCounts {
        let mut counts = self.broker.source_counts();
        counts.advance(clock::now());
        counts.clone()
    }

    /// The settings of the matching engine.
    pub fn matching(self) -> matching::Settings {
        self.broker.lock().matcher.settings().clone()
    }

    /// Replaces the terms of lending. Offers already taken continue.
    pub fn set_lending(self, lending: Lending) {
        for borrower in lending.terms.keys() {
            self.broker.metrics.peer_configured(borrower);
        }
        self.broker.lenders().set(lending);
        self.broker.stepped.notify_waiters();
    }

    /// The terms of each borrower, and the number of its offers that are waiting for an
    /// answer.
    pub fn borrowers(self) -> BTreeMap<PeerName, (Terms, usize)> {
        let lenders = self.broker.lenders();
        let accounts = lenders.accounts.iter();
        accounts
            .map(|(name, account)| (name.clone(), (account.terms.clone(), account.in_flight)))
            .collect()
    }

    /// The current limits, if there are any.
    pub fn limits(self) -> Option<limits::Settings> {
        let limits = self.broker.limits.as_ref();
        limits.map(|limits| limits.settings())
    }

    /// Replaces the limits, if there are any.
    pub fn set_limits(self, settings: &limits::Settings) {
        if let Some(limits) = &self.broker.limits {
            limits.set(settings);
        }
    }

    /// The numbers of waiting polls and clients.
    pub fn snapshot(self) -> matching::Snapshot {
        self.broker.lock().matcher.snapshot()
    }

    /// All parked polls, in no particular order.
    pub fn parked_polls(self) -> Vec<ParkedPollDetails> {
        self.broker.lock().parked_polls()
    }

    /// The state of all peers.
    pub fn peers(self) -> Vec<PeerStatus> {
        let overflow = self.broker.overflow.as_ref();
        overflow.map_or_else(Vec::new, |overflow| overflow.peers())
    }

    /// The cluster, if this broker is a node of one.
    pub fn cluster(self) -> Option<ClusterStatus> {
        let others = self.broker.others.as_deref();
        others.map(OtherNodes::status)
    }

    /// The current values of the gauges.
    pub fn waiting(self) -> GaugeSnapshot {
        let lenders = self.peers().into_iter().filter(|peer| peer.borrows);
        let peers = lenders.map(|peer| peer.figures).collect();
        let bridge_addresses = self.bridge_addresses();
        let private_pools = self.broker.private_pools();
        let private_pools = private_pools.map_or_else(Vec::new, |pools| pools.figures());
        let mut state = self.broker.lock();
        let now = clock::now();
        state.intervals.advance(now);
        state.learning.advance(now);
        let snapshot = state.matcher.snapshot();
        let intervals = NatClass::ALL.into_iter();
        let intervals = intervals.map(|pool| (pool, state.intervals.interval(pool)));
        GaugeSnapshot {
            bridge_addresses,
            peers,
            poll_intervals: intervals.collect(),
            parked: snapshot.parked,
            matched: snapshot.matched_clients,
            clients: state.learning.clients(),
            queued: state.matcher.queued_by_class(),
            private_pools,
        }
    }

    /// All metrics as text.
    pub fn expose_metrics(self, process: Option<ProcessFigures>, format: Format) -> String {
        self.broker.metrics.expose(&self.waiting(), process, format)
    }

    /// The reference broker's metrics as text; anyone may read them.
    pub fn expose_published_metrics(self, format: Format) -> String {
        self.broker
            .metrics
            .expose_published(&self.waiting(), format)
    }

    /// All metrics without countries, as OpenMetrics text.
    pub fn export_metrics(self, process: Option<ProcessFigures>) -> String {
        self.broker.metrics.export(&self.waiting(), process)
    }
}

/// Returns the policy with which requests are compared from now on.
fn put_rules_in_force(state: &mut BrokerState, policy: Policy) -> Arc<Policy> {
    let rules = &mut state.learning.rules;
    if policy != **rules.policy() {
        state.matcher.set_rules(policy.actions());
        rules.set(policy);
    }
    Arc::clone(rules.policy())
}
