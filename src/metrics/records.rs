//! Polls while they last: counted when they come, ended once.

use std::net::IpAddr;
use std::time::Duration;

use super::Metrics;
use super::by_country::ClientPoll;
use super::families::{Answered, ClientPollEnd, Latency, Proxy, ProxyPollEnd, PublishedProxyPoll};
use super::labels::{
    ClientOutcome, PollOutcome, PublishedClient, PublishedPoll, Refusal, Rendezvous, Request,
};
use crate::wire::nat::NatType;

/// A proxy's poll that has no outcome yet.
#[derive(Debug)]
#[must_use = "dropped, the poll counts as abandoned"]
pub struct ProxyPollRecord<'a> {
    metrics: &'a Metrics,
    proxy: Proxy,
    outcome: PollOutcome,
}

impl<'a> ProxyPollRecord<'a> {
    pub(super) fn begin(metrics: &'a Metrics, proxy: Proxy) -> Self {
        metrics.families.proxy_polls_received.inc();
        metrics.recent().totals.proxy_polls += 1;
        Self {
            metrics,
            proxy,
            outcome: PollOutcome::Abandoned,
        }
    }

    /// The proxy has a client's offer.
    pub fn matched(mut self) {
        self.outcome = PollOutcome::Matched;
        self.publish(PublishedPoll::Matched);
    }

    /// Nobody came.
    pub fn idle(mut self) {
        self.outcome = PollOutcome::Idle;
        self.metrics.window().counts.idle += 1;
        self.publish(PublishedPoll::Idle);
    }

    /// The proxy was turned away.
    pub fn refuse(mut self, reason: Refusal) {
        self.outcome = PollOutcome::Refused;
        self.metrics.refused(Request::ProxyPoll, reason);
        if reason == Refusal::Pattern {
            self.metrics.window().counts.rejected_relay_pattern += 1;
            let rejected = &self.metrics.families.polls_rejected_pattern;
            rejected.get_or_create(&self.proxy).inc();
        }
    }

    fn publish(&self, status: PublishedPoll) {
        let labels = PublishedProxyPoll {
            nat: self.proxy.nat,
            r#type: self.proxy.r#type,
            status,
        };
        let polls = &self.metrics.families.published_polls;
        polls.get_or_create(&labels).inc();
    }
}

impl Drop for ProxyPollRecord<'_> {
    fn drop(&mut self) {
        let labels = ProxyPollEnd {
            r#type: self.proxy.r#type,
            nat: self.proxy.nat,
            outcome: self.outcome,
        };
        let polls = &self.metrics.families.proxy_polls;
        polls.get_or_create(&labels).inc();
        self.metrics.recent().totals.proxy_outcomes[self.outcome as usize] += 1;
    }
}

/// A client's poll that has no outcome yet.
#[derive(Debug)]
#[must_use = "dropped, the poll counts as abandoned"]
pub struct ClientPollRecord<'a> {
    metrics: &'a Metrics,
    rendezvous: Rendezvous,
    address: Option<IpAddr>,
    nat: NatType,
    outcome: ClientOutcome,
}

impl<'a> ClientPollRecord<'a> {
    pub(super) fn begin(
        metrics: &'a Metrics,
        rendezvous: Rendezvous,
        address: Option<IpAddr>,
        nat: NatType,
    ) -> Self {
        Self {
            metrics,
            rendezvous,
            address,
            nat,
            outcome: ClientOutcome::Abandoned,
        }
    }

    /// The client has the answer of the last of `attempts` proxies that it was
    /// offered to.
    pub fn matched(mut self, attempts: usize, since_hand_off: Duration, since_request: Duration) {
        self.outcome = ClientOutcome::Matched;
        self.publish(PublishedClient::Matched);
        let families = &self.metrics.families;
        let labels = Answered {
            rendezvous: self.rendezvous,
            nat: self.nat,
        };
        let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
        families.attempts.observe(f64::from(attempts));
        let observe = |family: &Latency, seconds: Duration| {
            let histogram = family.get_or_create(&labels);
            histogram.observe(seconds.as_secs_f64());
        };
        observe(&families.hand_off_to_answer, since_hand_off);
        observe(&families.request_to_answer, since_request);
        let mut recent = self.metrics.recent();
        recent.totals.hand_off_to_answer.record(since_hand_off);
        recent.totals.request_to_answer.record(since_request);
    }

    /// There was no proxy for the client.
    pub fn denied(mut self) {
        self.outcome = ClientOutcome::Denied;
        self.publish(PublishedClient::Denied);
    }

    /// No proxy answered in time.
    pub fn timed_out(mut self) {
        self.outcome = ClientOutcome::TimedOut;
        self.publish(PublishedClient::Timeout);
    }

    /// The client was turned away.
    pub fn refuse(mut self, reason: Refusal) {
        self.outcome = ClientOutcome::Refused;
        self.metrics.refused(Request::ClientPoll, reason);
    }

    fn publish(&self, status: PublishedClient) {
        let poll = ClientPoll {
            rendezvous: self.rendezvous,
            nat: self.nat,
            status,
        };
        self.metrics.client_ended(self.address, poll);
    }
}

impl Drop for ClientPollRecord<'_> {
    fn drop(&mut self) {
        let labels = ClientPollEnd {
            rendezvous: self.rendezvous,
            nat: self.nat,
            outcome: self.outcome,
        };
        let polls = &self.metrics.families.client_polls;
        polls.get_or_create(&labels).inc();
        self.metrics.recent().totals.client_outcomes[self.outcome as usize] += 1;
    }
}
