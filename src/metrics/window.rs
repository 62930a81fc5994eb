//! The counts of the metrics log's window, except addresses: the growth of the counters
//! since the window began.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::counters::Counters;
use super::labels::{self, ClientOutcome, PollOutcome, Refusal, Rendezvous};
use crate::geoip::CountryCode;
use crate::wire::nat::NatType;

/// The counts of a window, not rounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowCounts {
    /// Proxy polls that got no client.
    pub idle: u64,
    /// Proxy polls with a relay pattern.
    pub with_relay_pattern: u64,
    /// Proxy polls without a relay pattern.
    pub without_relay_pattern: u64,
    /// Proxy polls refused because of their relay pattern.
    pub rejected_relay_pattern: u64,
    /// Clients that got no proxy, by the NAT they reported.
    #[serde(with = "labels")]
    pub denied: BTreeMap<NatType, u64>,
    /// Clients that got an answer.
    pub matched: u64,
    /// Clients whose proxy did not answer in time.
    pub timed_out: u64,
    /// Clients in one of the three counts above, by rendezvous method. As in the
    /// reference broker, malformed polls and clients that are refused or leave do not
    /// count.
    #[serde(with = "labels")]
    pub client_polls: BTreeMap<Rendezvous, BTreeMap<CountryCode, u64>>,
}

impl WindowCounts {
    /// The counts since the start of the process.
    pub(super) fn of(counters: &Counters) -> Self {
        use super::counters::ArrivalPattern::{With, Without};
        let arrivals = |pattern| counters.proxy_arrivals.sum(|poll| poll.pattern == pattern);
        let polls = &counters.proxy_polls;
        // A client is counted once its country is known.
        let clients = &counters.client_polls;
        let ended = |outcome| clients.sum(|end| end.outcome == outcome && end.country.is_some());
        let mut client_polls = BTreeMap::<_, BTreeMap<_, _>>::new();
        let places = clients.sums(|end| Some((end.rendezvous, end.country?)));
        for ((rendezvous, country), count) in places {
            let by_country = client_polls.entry(rendezvous).or_default();
            by_country.insert(country, count);
        }
        Self {
            idle: polls.sum(|end| end.outcome == PollOutcome::Idle),
            with_relay_pattern: arrivals(With),
            without_relay_pattern: arrivals(Without),
            rejected_relay_pattern: polls.sum(|end| end.refusal == Some(Refusal::Pattern)),
            denied: clients.sums(|end| {
                let is_told = end.outcome == ClientOutcome::Denied && end.country.is_some();
                is_told.then_some(end.nat)
            }),
            matched: ended(ClientOutcome::Matched),
            timed_out: ended(ClientOutcome::TimedOut),
            client_polls,
        }
    }

    /// Combines two sets of counts, count by count; labels whose result is 0 are left
    /// out.
    pub(super) fn with(&self, other: &Self, calculate: fn(u64, u64) -> u64) -> Self {
        let none = BTreeMap::new();
        let by_country = |rendezvous| {
            let of = |counts: &Self| counts.client_polls.get(rendezvous).unwrap_or(&none).clone();
            (
                *rendezvous,
                label_by_label(&of(self), &of(other), calculate),
            )
        };
        let ways = Rendezvous::ALL.iter().map(by_country);
        Self {
            idle: calculate(self.idle, other.idle),
            with_relay_pattern: calculate(self.with_relay_pattern, other.with_relay_pattern),
            without_relay_pattern: calculate(
                self.without_relay_pattern,
                other.without_relay_pattern,
            ),
            rejected_relay_pattern: calculate(
                self.rejected_relay_pattern,
                other.rejected_relay_pattern,
            ),
            denied: label_by_label(&self.denied, &other.denied, calculate),
            matched: calculate(self.matched, other.matched),
            timed_out: calculate(self.timed_out, other.timed_out),
            client_polls: ways.filter(|(_, polls)| !polls.is_empty()).collect(),
        }
    }
}

fn label_by_label<L: Copy + Ord>(
    counts: &BTreeMap<L, u64>,
    others: &BTreeMap<L, u64>,
    calculate: fn(u64, u64) -> u64,
) -> BTreeMap<L, u64> {
    let count = |of: &BTreeMap<L, u64>, label| of.get(label).copied().unwrap_or(0);
    let labels = counts.keys().chain(others.keys());
    labels
        .map(|label| {
            (
                *label,
                calculate(count(counts, label), count(others, label)),
            )
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}
