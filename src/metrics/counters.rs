//! The exact counters of polls and answers. Each event is counted once, in one place,
//! by all that is ever told of it; whoever tells it by less sums up. So whatever is
//! published of it agrees: the operator's families and the rounded ones of the
//! reference broker ([`super::counter_families`]), the metrics log
//! ([`super::window`]), and the last minutes ([`super::recent`]).
//!
//! Counters that only Prometheus is told of are in [`super::families`].

use std::collections::BTreeMap;
use std::time::Duration;

use super::labels::{AnswerFate, ClientOutcome, Label, PollOutcome, Refusal, Rendezvous};
use super::latencies::Latencies;
use super::published::PublishedClient;
use crate::geoip::CountryCode;
use crate::wire::nat::NatType;
use crate::wire::proxy::ProxyType;

/// All of them, since the start.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    pub(super) proxy_arrivals: Counts<ProxyArrival>,
    pub(super) proxy_polls: Counts<ProxyPollEnd>,
    /// Addresses of proxies, each once a window, as at its first poll.
    pub(super) unique_proxies: Counts<UniqueProxy>,
    pub(super) client_arrivals: Counts<Rendezvous>,
    pub(super) client_polls: Counts<ClientPollEnd>,
    pub(super) answers: Counts<AnswerEnd>,
    /// Answered clients by the number of proxies that they were offered to.
    pub(super) attempts: Counts<u32>,
    pub(super) hand_off_to_answer: BTreeMap<AnsweredClient, Latencies>,
    pub(super) request_to_answer: BTreeMap<AnsweredClient, Latencies>,
}

/// A poll of a proxy as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProxyArrival {
    pub(super) r#type: ProxyType,
    pub(super) nat: NatType,
    pub(super) pattern: ArrivalPattern,
}

/// The relay pattern of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ArrivalPattern {
    With,
    Without,
    /// It is not taken for a poll.
    NotRead,
}

/// A poll of a proxy as it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProxyPollEnd {
    pub(super) r#type: ProxyType,
    pub(super) nat: NatType,
    pub(super) outcome: PollOutcome,
    /// The reason of those that were refused.
    pub(super) refusal: Option<Refusal>,
}

/// An address of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UniqueProxy {
    pub(super) r#type: ProxyType,
    pub(super) nat: NatType,
    pub(super) country: CountryCode,
}

/// A poll of a client as it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClientPollEnd {
    pub(super) rendezvous: Rendezvous,
    pub(super) nat: NatType,
    pub(super) outcome: ClientOutcome,
    /// The reason of those that were refused.
    pub(super) refusal: Option<Refusal>,
    /// `None` for what is not published, and as long as it is not known.
    pub(super) country: Option<CountryCode>,
}

/// An answer of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AnswerEnd {
    pub(super) r#type: ProxyType,
    pub(super) outcome: AnswerFate,
    /// The reason of those that were refused.
    pub(super) refusal: Option<Refusal>,
}

/// A client that got an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AnsweredClient {
    pub(super) rendezvous: Rendezvous,
    pub(super) nat: NatType,
}

/// The answer that a client got.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// The number of proxies that the client was offered to.
    pub(super) attempts: u32,
    pub(super) since_hand_off: Duration,
    pub(super) since_request: Duration,
}

/// Counts by key, those of keys that are known beforehand from 0 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counts<K>(BTreeMap<K, u64>);

impl<K: Ord> Counts<K> {
    fn seeded(keys: impl IntoIterator<Item = K>) -> Self {
        Self(keys.into_iter().map(|key| (key, 0)).collect())
    }

    pub(super) fn add(&mut self, key: K) {
        *self.0.entry(key).or_default() += 1;
    }

    /// Counts as `to` what was counted as `from`.
    pub(super) fn move_one(&mut self, from: &K, to: K) {
        if let Some(count) = self.0.get_mut(from).filter(|count| **count > 0) {
            *count -= 1;
            self.add(to);
        }
    }

    /// The sums of those of which `part` makes the same; without those of which it
    /// makes `None`.
    pub(super) fn sums<P: Ord>(&self, part: impl Fn(&K) -> Option<P>) -> BTreeMap<P, u64> {
        let mut sums = BTreeMap::new();
        for (key, count) in &self.0 {
            if let Some(part) = part(key) {
                *sums.entry(part).or_default() += count;
            }
        }
        sums
    }

    /// The sum of those that are wanted.
    pub(super) fn sum(&self, is_wanted: impl Fn(&K) -> bool) -> u64 {
        let wanted = self.0.iter().filter(|(key, _)| is_wanted(key));
        wanted.map(|(_, count)| count).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, u64)> {
        self.0.iter().map(|(key, count)| (key, *count))
    }
}

impl Counters {
    /// Counts the answer that a client got.
    pub(super) fn answered(&mut self, end: ClientPollEnd, answer: &Answer) {
        let client = AnsweredClient {
            rendezvous: end.rendezvous,
            nat: end.nat,
        };
        self.attempts.add(answer.attempts);
        for (latencies, latency) in [
            (&mut self.hand_off_to_answer, answer.since_hand_off),
            (&mut self.request_to_answer, answer.since_request),
        ] {
            latencies.entry(client).or_default().record(latency);
        }
    }
}

impl Default for Counters {
    fn default() -> Self {
        let proxies = || pairs::<ProxyType, NatType>();
        let clients = || pairs::<Rendezvous, NatType>();
        let latencies = || {
            let answered = |(rendezvous, nat)| AnsweredClient { rendezvous, nat };
            let seeds = clients().map(|client| (answered(client), Latencies::default()));
            seeds.collect()
        };
        Self {
            proxy_arrivals: Counts::seeded(proxies().flat_map(|(r#type, nat)| {
                use ArrivalPattern::{NotRead, With, Without};
                [With, Without, NotRead].map(|pattern| ProxyArrival {
                    r#type,
                    nat,
                    pattern,
                })
            })),
            proxy_polls: Counts::seeded(proxies().flat_map(|(r#type, nat)| {
                let ends = ends(PollOutcome::Refused);
                ends.map(move |(outcome, refusal)| ProxyPollEnd {
                    r#type,
                    nat,
                    outcome,
                    refusal,
                })
            })),
            unique_proxies: Counts::seeded(proxies().map(|(r#type, nat)| UniqueProxy {
                r#type,
                nat,
                country: CountryCode::UNKNOWN,
            })),
            client_arrivals: Counts::seeded(Rendezvous::ALL),
            client_polls: Counts::seeded(clients().flat_map(|(rendezvous, nat)| {
                let ends = ends(ClientOutcome::Refused);
                ends.flat_map(move |(outcome, refusal)| {
                    // Of countries only the unknown one is known beforehand.
                    let published = PublishedClient::of(outcome);
                    let unknown = published.map(|_| Some(CountryCode::UNKNOWN));
                    [None]
                        .into_iter()
                        .chain(unknown)
                        .map(move |country| ClientPollEnd {
                            rendezvous,
                            nat,
                            outcome,
                            refusal,
                            country,
                        })
                })
            })),
            answers: Counts::seeded(all::<ProxyType>().flat_map(|r#type| {
                let ends = ends(AnswerFate::Refused);
                ends.map(move |(outcome, refusal)| AnswerEnd {
                    r#type,
                    outcome,
                    refusal,
                })
            })),
            attempts: Counts::seeded([]),
            hand_off_to_answer: latencies(),
            request_to_answer: latencies(),
        }
    }
}

fn all<A: Label>() -> impl Iterator<Item = A> {
    A::ALL.iter().copied()
}

fn pairs<A: Label, B: Label>() -> impl Iterator<Item = (A, B)> {
    all::<A>().flat_map(|a| all::<B>().map(move |b| (a, b)))
}

/// Each outcome, and the one of refusals with each reason.
fn ends<O: Label>(refused: O) -> impl Iterator<Item = (O, Option<Refusal>)> {
    let others = all::<O>().filter(move |outcome| *outcome != refused);
    let refusals = all::<Refusal>().map(move |reason| (refused, Some(reason)));
    others.map(|outcome| (outcome, None)).chain(refusals)
}
