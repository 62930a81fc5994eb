//! Which peer is asked: what each has said to have, how it has answered of late,
//! and what is under way with it. Pure: the time and random numbers come in as parameters.
//!
//! A peer can be asked while there is a connection, its last report is fresh and
//! shows a proxy for the client, it knows the bridge, and its circuit allows it.
//! Of those two are drawn by lot and the better one is asked (the power of two
//! choices): the one with more free proxies, weighed down by its share of recent
//! failures and by how long its answers take. The best of all would not do: many
//! brokers that see the same reports would ask the same one.
//!
//! A peer may lie. What it says to have and does not give counts as a failure,
//! and one that is silent loses its turn by the circuit.

mod circuit;
mod record;
mod supply;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::broker::overflow::PeerStatus;
use crate::metrics::PeerFigures;
use crate::metrics::labels::{LoanRefusal, PeerName};
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;

use super::settings::PeerSettings;

pub(super) use supply::SupplyReport;

use circuit::Circuit;
use record::Record;
use supply::KnownSupply;

/// The silence after which a call that is given up counts as failed: an answer takes
/// a second or two.
const SILENT_AFTER: Duration = Duration::from_secs(2);
/// The time for which a peer is left alone that says that we ask too much.
const PAUSE: Duration = Duration::from_secs(1);

/// Names one connection to a peer; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkId(u64);

/// The end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With an answer.
    Answered,
    /// There was no proxy.
    NoProxies,
    /// No proxy has answered in time.
    TimedOut,
    /// The offer was not taken.
    Refused(LoanRefusal),
    /// No connection, no reply in time, or rubbish.
    Failed,
    /// The client left, or had its answer from elsewhere.
    Cancelled,
}

/// A fault of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PeerProblem {
    /// One short line without addresses.
    pub(super) words: String,
    /// The connection has ended, and nothing says why.
    pub(super) is_vague: bool,
}

/// The need that a call is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    pub(super) class: NatClass,
    pub(super) fingerprint: Fingerprint,
}

/// The peers of the configuration.
#[derive(Debug, Default)]
pub(super) struct Peers {
    by_name: BTreeMap<PeerName, Peer>,
    links: u64,
}

#[derive(Debug)]
struct Peer {
    borrows: bool,
    max_in_flight: usize,
    link: Option<LinkId>,
    seen: Option<KnownSupply>,
    in_flight: usize,
    circuit: Circuit,
    record: Record,
    paused_until: Option<Instant>,
    problem: Option<Noted>,
}

/// The last fault.
#[derive(Debug)]
struct Noted {
    words: String,
    weight: Weight,
}

/// The weight of what a problem tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// That a connection has ended.
    Vague,
    /// The outcome of a call.
    OfCall,
    /// The reason why there is no connection.
    Reason,
}

impl Peers {
    /// These are the peers from now on. What is known of those that stay is kept.
    pub(super) fn configure(&mut self, settings: &[PeerSettings]) {
        let mut before = std::mem::take(&mut self.by_name);
        for peer in settings {
            let mut known = before.remove(&peer.id()).unwrap_or_else(Peer::new);
            known.borrows = peer.borrow;
            known.max_in_flight = peer.max_in_flight;
            self.by_name.insert(peer.id(), known);
        }
    }

    /// There is a connection to a peer; `None` if there was one already, or if it
    /// is no peer that may be asked.
    pub(super) fn connected(&mut self, name: &PeerName) -> Option<LinkId> {
        let peer = self.by_name.get_mut(name)?;
        if peer.link.is_some() || !peer.borrows {
            return None;
        }
        self.links += 1;
        let link = LinkId(self.links);
        peer.link = Some(link);
        peer.seen = None;
        peer.circuit.reconnected();
        peer.record = Record::default();
        Some(link)
    }

    /// The connection has ended. Returns true if it was the peer's.
    pub(super) fn disconnected(&mut self, name: &PeerName, link: LinkId) -> bool {
        let Some(peer) = self.of_link(name, link) else {
            return false;
        };
        peer.link = None;
        peer.seen = None;
        true
    }

    /// Something has gone wrong with a peer. Returns true if it is something else
    /// than before. That one more connection has ended is no news, in whatever words: a
    /// peer that refuses us may be heard to say so at one time, and only to hang up at
    /// another.
    pub(super) fn failed(&mut self, name: &PeerName, problem: &PeerProblem) -> bool {
        let Some(peer) = self.by_name.get_mut(name) else {
            return false;
        };
        let last = peer.problem.as_ref();
        let is_known = last.is_some_and(|last| last.weight != Weight::OfCall);
        if problem.is_vague && is_known {
            return false;
        }
        let is_new = last.is_none_or(|last| last.words != problem.words);
        let weight = match (problem.is_vague, &peer.seen) {
            (true, _) => Weight::Vague,
            (false, Some(_)) => Weight::OfCall,
            (false, None) => Weight::Reason,
        };
        peer.problem = Some(Noted {
            words: problem.words.clone(),
            weight,
        });
        is_new
    }

    /// A peer says what it has. Returns true if the connection is the peer's.
    pub(super) fn reported(
        &mut self,
        now: Instant,
        name: &PeerName,
        link: LinkId,
        report: SupplyReport,
    ) -> bool {
        let Some(peer) = self.of_link(name, link) else {
            return false;
        };
        if peer.seen.is_none() {
            peer.problem = None;
        }
        peer.seen = Some(KnownSupply::new(now, report, peer.seen.take()));
        true
    }

    /// Returns true if anybody can be asked.
    pub(super) fn has_supply(&self, now: Instant, need: Need) -> bool {
        let mut peers = self.by_name.values();
        peers.any(|peer| peer.can_be_asked(now, need))
    }

    /// The peer to ask of those that were not `asked` yet, by two random
    /// numbers from 0 to 1. The call has begun then, and [`Self::ended`] has to be told how it
    /// ends.
    pub(super) fn choose(
        &mut self,
        now: Instant,
        need: Need,
        asked: &BTreeSet<PeerName>,
        draws: [f64; 2],
    ) -> Option<PeerName> {
        let peers = self.by_name.iter();
        let can_be_asked = |(name, peer): &(&PeerName, &Peer)| {
            !asked.contains(name) && peer.can_be_asked(now, need)
        };
        let candidates: Vec<_> = peers.filter(can_be_asked).collect();
        let (name, _) = match candidates.as_slice() {
            [] => return None,
            [one] => *one,
            many => {
                let [first, second] = two_of(many.len(), draws);
                let score = |(_, peer): (&PeerName, &Peer)| peer.score(now, need.class);
                let is_better = score(many[first]) >= score(many[second]);
                many[if is_better { first } else { second }]
            }
        };
        let name = name.clone();
        let peer = self.by_name.get_mut(&name)?;
        peer.begin(need.class);
        Some(name)
    }

    /// A call has ended that took so long. The jitter, from 0 to 1, is of the
    /// time for which the peer is left alone if it has failed too often.
    pub(super) fn ended(
        &mut self,
        now: Instant,
        name: &PeerName,
        need: Need,
        (took, ended): (Duration, Ended),
        jitter: f64,
    ) {
        if let Some(peer) = self.by_name.get_mut(name) {
            peer.in_flight = peer.in_flight.saturating_sub(1);
            peer.learn(now, need, took, ended, jitter);
        }
    }

    /// The status of each.
    pub(super) fn statuses(&self, now: Instant) -> Vec<PeerStatus> {
        let peers = self.by_name.iter();
        peers.map(|(name, peer)| peer.status(now, name)).collect()
    }

    fn of_link(&mut self, name: &PeerName, link: LinkId) -> Option<&mut Peer> {
        let peer = self.by_name.get_mut(name)?;
        (peer.link == Some(link)).then_some(peer)
    }
}

/// Two different indices below `count`, which is 2 or more.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "peers are few"
)]
fn two_of(count: usize, draws: [f64; 2]) -> [usize; 2] {
    let index = |draw: f64, count: usize| ((draw * count as f64) as usize).min(count - 1);
    let first = index(draws[0], count);
    let step = 1 + index(draws[1], count - 1);
    [first, (first + step) % count]
}

impl Peer {
    fn new() -> Self {
        Self {
            borrows: false,
            max_in_flight: 0,
            link: None,
            seen: None,
            in_flight: 0,
            circuit: Circuit::new(),
            record: Record::default(),
            paused_until: None,
            problem: None,
        }
    }

    fn can_be_asked(&self, now: Instant, need: Need) -> bool {
        let has_supply = self
            .seen
            .as_ref()
            .is_some_and(|seen| seen.free_for(now, need.class) > 0 && seen.knows(need.fingerprint));
        has_supply
            && self.borrows
            && self.link.is_some()
            && self.in_flight < self.max_in_flight
            && self.paused_until.is_none_or(|until| until <= now)
            && self.circuit.allows(now)
    }

    fn score(&self, now: Instant, class: NatClass) -> f64 {
        let seen = self.seen.as_ref();
        let free = seen.map_or(0, |seen| seen.free_for(now, class));
        f64::from(u32::try_from(free).unwrap_or(u32::MAX)) * self.record.weight(now)
    }

    fn begin(&mut self, class: NatClass) {
        self.in_flight += 1;
        self.circuit.begin();
        if let Some(seen) = &mut self.seen {
            seen.take(class);
        }
    }

    fn learn(&mut self, now: Instant, need: Need, took: Duration, ended: Ended, jitter: f64) {
        match ended {
            Ended::Answered => {
                self.circuit.succeeded();
                self.record.answered(now, took);
            }
            Ended::NoProxies | Ended::TimedOut | Ended::Refused(_) => {
                self.circuit.succeeded();
                self.record.failed(now);
            }
            Ended::Cancelled if took < SILENT_AFTER => self.circuit.cancelled(),
            Ended::Failed | Ended::Cancelled => {
                self.circuit.failed(now, jitter);
                self.record.failed(now);
            }
        }
        self.correct(now, need, ended);
    }

    /// Corrects the peer's supply by its reply, until its next report.
    fn correct(&mut self, now: Instant, need: Need, ended: Ended) {
        let Some(seen) = &mut self.seen else {
            return;
        };
        match ended {
            Ended::NoProxies => seen.has_none_for(need.class),
            Ended::Refused(LoanRefusal::UnknownBridge) => seen.forget(need.fingerprint),
            Ended::Refused(LoanRefusal::Draining | LoanRefusal::NotLending) => seen.has_nothing(),
            Ended::Refused(reason) if reason != LoanRefusal::NoTimeLeft => {
                self.paused_until = Some(now + PAUSE);
            }
            Ended::Refused(_)
            | Ended::Answered
            | Ended::TimedOut
            | Ended::Failed
            | Ended::Cancelled => {}
        }
    }

    fn status(&self, now: Instant, name: &PeerName) -> PeerStatus {
        let seen = self.seen.as_ref();
        PeerStatus {
            figures: PeerFigures {
                name: name.clone(),
                is_connected: self.link.is_some(),
                supply: seen.map(|seen| seen.free(now)).unwrap_or_default(),
                circuit: self.circuit.state(now),
            },
            borrows: self.borrows,
            supply_age: seen.map(|seen| seen.age(now)),
            is_draining: seen.is_some_and(KnownSupply::is_draining),
            borrowing: self.in_flight,
            latency: self.record.latency(),
            problem: self.problem.as_ref().map(|last| last.words.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
