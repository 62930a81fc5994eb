//! Records of polls in progress: counted on arrival, closed once.

use std::net::IpAddr;
use std::time::Duration;

use super::counters::{Answer, ArrivalPattern, ClientPollEnd, ProxyArrival, ProxyPollEnd};
use super::counting::SharedCounting;
use super::labels::{ClientOutcome, PollOutcome, Refusal, Rendezvous};
use crate::wire::nat::NatType;
use crate::wire::proxy::ProxyType;

/// A proxy's poll without an outcome yet.
#[derive(Debug)]
#[must_use = "dropped, the poll counts as abandoned"]
pub struct ProxyPollRecord<'a> {
    counting: &'a SharedCounting,
    end: ProxyPollEnd,
}

impl<'a> ProxyPollRecord<'a> {
    pub(super) fn begin(
        counting: &'a SharedCounting,
        r#type: ProxyType,
        nat: NatType,
        pattern: ArrivalPattern,
    ) -> Self {
        let arrival = ProxyArrival {
            r#type,
            nat,
            pattern,
        };
        counting.lock().counters.proxy_arrivals.add(arrival);
        let end = ProxyPollEnd {
            r#type,
            nat,
            outcome: PollOutcome::Abandoned,
            refusal: None,
        };
        Self { counting, end }
    }

    /// Ends the poll with a client's offer.
    pub fn matched(mut self) {
        self.end.outcome = PollOutcome::Matched;
    }

    /// Ends the poll without a client.
    pub fn idle(mut self) {
        self.end.outcome = PollOutcome::Idle;
    }

    /// Ends the poll with a refusal.
    pub fn refuse(mut self, reason: Refusal) {
        self.end.outcome = PollOutcome::Refused;
        self.end.refusal = Some(reason);
    }
}

impl Drop for ProxyPollRecord<'_> {
    fn drop(&mut self) {
        self.counting.lock().counters.proxy_polls.add(self.end);
    }
}

/// A client's poll without an outcome yet.
#[derive(Debug)]
#[must_use = "dropped, the poll counts as abandoned"]
pub struct ClientPollRecord<'a> {
    counting: &'a SharedCounting,
    address: Option<IpAddr>,
    end: ClientPollEnd,
    answer: Option<Answer>,
}

impl<'a> ClientPollRecord<'a> {
    pub(super) fn begin(
        counting: &'a SharedCounting,
        rendezvous: Rendezvous,
        address: Option<IpAddr>,
        nat: NatType,
    ) -> Self {
        counting.lock().counters.client_arrivals.add(rendezvous);
        let end = ClientPollEnd {
            rendezvous,
            nat,
            outcome: ClientOutcome::Abandoned,
            refusal: None,
            country: None,
        };
        Self {
            counting,
            address,
            end,
            answer: None,
        }
    }

    /// Ends the poll with the answer of the last of `attempts` proxies that its offer was
    /// handed to.
    pub fn matched(mut self, attempts: usize, since_hand_off: Duration, since_request: Duration) {
        self.end.outcome = ClientOutcome::Matched;
        self.answer = Some(Answer {
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            since_hand_off,
            since_request,
        });
    }

    /// Ends the poll because no proxy was available.
    pub fn denied(mut self) {
        self.end.outcome = ClientOutcome::Denied;
    }

    /// Ends the poll because no proxy answered in time.
    pub fn timed_out(mut self) {
        self.end.outcome = ClientOutcome::TimedOut;
    }

    /// Ends the poll with a refusal.
    pub fn refuse(mut self, reason: Refusal) {
        self.end.outcome = ClientOutcome::Refused;
        self.end.refusal = Some(reason);
    }
}

impl Drop for ClientPollRecord<'_> {
    fn drop(&mut self) {
        let mut counting = self.counting.lock();
        if let Some(answer) = &self.answer {
            counting.counters.answered(self.end, answer);
        }
        counting.client_ended(self.address, self.end);
    }
}
