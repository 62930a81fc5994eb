//! Exact counters of polls and answers. Each event is counted once, in one place, under a
//! key with all of its properties; readers that need fewer properties sum over the rest.
//! All published figures therefore agree: the operator's families and the rounded ones of
//! the reference broker ([`super::counter_families`]), the metrics log
//! ([`super::window`]) and the last minutes ([`super::recent`]).
//!
//! Counters that only Prometheus reads are in [`super::families`].

use std::collections::BTreeMap;
use std::time::Duration;

use super::impact::ImpactCounts;
use super::labels::{AnswerFate, ClientOutcome, Label, PollOutcome, Refusal, Rendezvous};
use super::latencies::Latencies;
use super::published;
use crate::geoip::CountryCode;
use crate::wire::nat::NatType;
use crate::wire::proxy::{ProxyType, ProxyTypes};

/// All counters since the start of the process.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    pub(super) proxy_arrivals: Counts<ProxyArrival>,
    pub(super) proxy_polls: Counts<ProxyPollEnd>,
    /// Proxy addresses, each counted once a window with the properties of its first poll.
    pub(super) unique_proxies: Counts<UniqueProxy>,
    pub(super) client_arrivals: Counts<Rendezvous>,
    pub(super) client_polls: Counts<ClientPollEnd>,
    pub(super) answers: Counts<AnswerEnd>,
    /// Answered clients, by the number of proxies their offer was handed to.
    pub(super) attempts: Counts<u32>,
    pub(super) hand_off_to_answer: LatenciesByClient,
    pub(super) request_to_answer: LatenciesByClient,
    pub(super) impact: ImpactCounts,
}

/// Latencies by the client's rendezvous method and NAT.
pub(super) type LatenciesByClient = BTreeMap<(Rendezvous, NatType), Latencies>;

macro_rules! keys {
    ($($(#[$meta:meta])* $key:ident { $($field:ident: $kind:ty),+ })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) struct $key {
            $(pub(super) $field: $kind),+
        }
    )+};
}

// An outcome of `Refused` carries its reason.
keys! {
    /// A proxy's poll on arrival.
    ProxyArrival { r#type: ProxyType, nat: NatType, pattern: ArrivalPattern }
    /// A proxy's poll at its end.
    ProxyPollEnd { r#type: ProxyType, nat: NatType, outcome: PollOutcome, refusal: Option<Refusal> }
    /// A proxy's address.
    UniqueProxy { r#type: ProxyType, nat: NatType, country: CountryCode }
    /// A client's poll at its end. The country is `None` while it is not known, and for
    /// outcomes that are not published.
    ClientPollEnd {
        rendezvous: Rendezvous, nat: NatType, outcome: ClientOutcome, refusal: Option<Refusal>,
        country: Option<CountryCode>
    }
    /// A proxy's answer.
    AnswerEnd { r#type: ProxyType, outcome: AnswerFate, refusal: Option<Refusal> }
}

/// The relay pattern of a proxy's poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ArrivalPattern {
    With,
    Without,
    /// The request was not accepted as a poll.
    NotRead,
}

/// The answer that a client received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// The number of proxies that the client's offer was handed to.
    pub(super) attempts: u32,
    pub(super) since_hand_off: Duration,
    pub(super) since_request: Duration,
}

/// Counts by key. Keys known in advance start at 0.
#[derive(Clone, Debug)]
pub(super) struct Counts<K>(BTreeMap<K, u64>);

impl<K: Ord> Counts<K> {
    fn seeded(keys: impl IntoIterator<Item = K>) -> Self {
        Self(keys.into_iter().map(|key| (key, 0)).collect())
    }

    pub(super) fn add(&mut self, key: K) {
        *self.0.entry(key).or_default() += 1;
    }

    /// Moves one count from key `from` to key `to`.
    pub(super) fn move_one(&mut self, from: &K, to: K) {
        if let Some(count) = self.0.get_mut(from).filter(|count| **count > 0) {
            *count -= 1;
            self.add(to);
        }
    }

    /// Sums the counts by `part` of their key; keys for which `part` is `None` are left
    /// out.
    pub(super) fn sums<'a, P: Ord>(
        &'a self,
        part: impl Fn(&'a K) -> Option<P>,
    ) -> BTreeMap<P, u64> {
        let mut sums = BTreeMap::new();
        for (key, count) in &self.0 {
            if let Some(part) = part(key) {
                *sums.entry(part).or_default() += count;
            }
        }
        sums
    }

    /// Sums the counts of the keys that are wanted.
    pub(super) fn sum(&self, is_wanted: impl Fn(&K) -> bool) -> u64 {
        let wanted = self.0.iter().filter(|(key, _)| is_wanted(key));
        wanted.map(|(_, count)| count).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, u64)> {
        self.0.iter().map(|(key, count)| (key, *count))
    }
}

impl Counters {
    /// Counts an answer that a client received.
    pub(super) fn answered(&mut self, end: ClientPollEnd, answer: &Answer) {
        self.attempts.add(answer.attempts);
        for (latencies, latency) in [
            (&mut self.hand_off_to_answer, answer.since_hand_off),
            (&mut self.request_to_answer, answer.since_request),
        ] {
            let client = (end.rendezvous, end.nat);
            latencies.entry(client).or_default().record(latency);
        }
    }
}

impl Counters {
    #[rustfmt::skip]
    pub(super) fn new(types: &ProxyTypes) -> Self {
        use ArrivalPattern::{NotRead, With, Without};
        // The unknown country is the only one known in advance.
        let country = CountryCode::UNKNOWN;
        let countries = |outcome| [None].into_iter().chain(published::client_poll(outcome).map(|_| Some(country)));
        let proxies = || types.iter().flat_map(|r#type| NatType::ALL.map(|nat| (r#type, nat)));
        let clients = || pairs::<Rendezvous, NatType>();
        let latencies = || clients().map(|client| (client, Latencies::default())).collect();
        Self {
            proxy_arrivals: Counts::seeded(proxies().flat_map(|(r#type, nat)| [With, Without, NotRead].map(|pattern| ProxyArrival { r#type, nat, pattern }))),
            proxy_polls: Counts::seeded(proxies().flat_map(|(r#type, nat)| ends(PollOutcome::Refused).map(move |(outcome, refusal)| ProxyPollEnd { r#type, nat, outcome, refusal }))),
            unique_proxies: Counts::seeded(proxies().map(|(r#type, nat)| UniqueProxy { r#type, nat, country })),
            client_arrivals: Counts::seeded(Rendezvous::ALL),
            client_polls: Counts::seeded(clients().flat_map(|(rendezvous, nat)| ends(ClientOutcome::Refused).flat_map(move |(outcome, refusal)| countries(outcome).map(move |country| ClientPollEnd { rendezvous, nat, outcome, refusal, country })))),
            answers: Counts::seeded(types.iter().flat_map(|r#type| ends(AnswerFate::Refused).map(move |(outcome, refusal)| AnswerEnd { r#type, outcome, refusal }))),
            attempts: Counts::seeded([]),
            hand_off_to_answer: latencies(),
            request_to_answer: latencies(),
            impact: ImpactCounts::new(types),
        }
    }
}

fn all<A: Label>() -> impl Iterator<Item = A> {
    A::ALL.iter().copied()
}

fn pairs<A: Label, B: Label>() -> impl Iterator<Item = (A, B)> {
    all::<A>().flat_map(|a| all::<B>().map(move |b| (a, b)))
}

/// All outcomes; the refused one once for each reason.
fn ends<O: Label>(refused: O) -> impl Iterator<Item = (O, Option<Refusal>)> {
    let others = all::<O>().filter(move |outcome| *outcome != refused);
    let refusals = all::<Refusal>().map(move |reason| (refused, Some(reason)));
    others.map(|outcome| (outcome, None)).chain(refusals)
}
