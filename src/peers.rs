//! The choice of the peer to borrow from, by reported supply, recent answers and calls in
//! progress. Pure: time and random numbers are parameters.
//!
//! A peer qualifies if it is connected, its last report is fresh and shows a proxy for
//! the client, it knows the bridge, and its circuit is closed. Of all qualified peers,
//! two are drawn at random, and the better one is chosen (the power of two choices): the
//! one with more free proxies, weighted down by recent failures and slow answers. Always
//! choosing the best peer would not work: many brokers that see the same reports would
//! all choose the same one.
//!
//! A peer may lie. Reporting proxies and not providing them counts as a failure, and a
//! silent peer is excluded by its circuit.

mod circuit;
mod ended;
mod problem;
pub mod protocol;
mod record;
mod supply;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::broker::overflow::PeerStatus;
use crate::metrics::PeerFigures;
use crate::metrics::labels::{LoanRefusal, PeerName, PrivatePoolName};
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;

pub use ended::Ended;
pub use problem::PeerProblem;
pub use supply::{KnownBridges, SupplyReport};

use circuit::Circuit;
use problem::{Noted, Weight};
use record::Record;
use supply::KnownSupply;

/// The time after which a cancelled call without a reply counts as failed: an answer
/// takes a second or two.
const SILENT_AFTER: Duration = Duration::from_secs(2);
/// The pause after a peer reports that we ask too often.
const PAUSE: Duration = Duration::from_secs(1);

/// The ID of a connection to a peer, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkId(u64);

/// The requirements of a call.
#[derive(Clone, Debug)]
pub struct Need {
    /// The private pool of the client; `None` for one of everybody's.
    pub private_pool: Option<PrivatePoolName>,
    /// The class of the client's NAT.
    pub class: NatClass,
    /// The bridge that the client wants.
    pub fingerprint: Fingerprint,
}

/// The private pools for whose clients a peer is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SharedPools {
    /// All that it reports.
    All,
    /// These.
    These(BTreeSet<PrivatePoolName>),
}

/// The terms on which a peer is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BorrowingTerms {
    /// True if it may be asked at all.
    pub borrows: bool,
    /// The maximum number of calls in progress.
    pub max_in_flight: usize,
    /// The private pools.
    pub private_pools: SharedPools,
}

/// The peers that may be asked.
#[derive(Debug)]
pub struct Peers {
    by_name: BTreeMap<PeerName, Peer>,
    links: u64,
    /// The age at which a report no longer counts.
    fresh_for: Duration,
}

#[derive(Debug)]
struct Peer {
    terms: BorrowingTerms,
    link: Option<LinkId>,
    seen: Option<KnownSupply>,
    in_flight: usize,
    circuit: Circuit,
    record: Record,
    paused_until: Option<Instant>,
    problem: Option<Noted>,
}

impl Peers {
    /// No peers. `fresh_for` is the age at which a report no longer counts.
    pub fn new(fresh_for: Duration) -> Self {
        Self {
            by_name: BTreeMap::new(),
            links: 0,
            fresh_for,
        }
    }

    /// Replaces the peers, and keeps the state of those that stay.
    pub fn configure(&mut self, peers: impl IntoIterator<Item = (PeerName, BorrowingTerms)>) {
        let mut before = std::mem::take(&mut self.by_name);
        for (name, terms) in peers {
            let mut known = before.remove(&name).unwrap_or_else(Peer::new);
            known.terms = terms;
            self.by_name.insert(name, known);
        }
    }

    /// Forgets a peer. Calls to it may end later.
    pub fn remove(&mut self, name: &PeerName) {
        self.by_name.remove(name);
    }

    /// Adds a peer that is not known yet.
    pub fn add(&mut self, name: PeerName, terms: BorrowingTerms) {
        let known = self.by_name.entry(name).or_insert_with(Peer::new);
        known.terms = terms;
    }

    /// Records a connection to a peer; `None` if it is already connected or is not a peer
    /// to borrow from.
    pub fn connected(&mut self, name: &PeerName) -> Option<LinkId> {
        let peer = self.by_name.get_mut(name)?;
        if peer.link.is_some() || !peer.terms.borrows {
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

    /// Records the end of a connection. Returns true if it was the peer's current one.
    pub fn disconnected(&mut self, name: &PeerName, link: LinkId) -> bool {
        let Some(peer) = self.of_link(name, link) else {
            return false;
        };
        peer.link = None;
        peer.seen = None;
        true
    }

    /// Records a problem with a peer. Returns true if it differs from the last one. The
    /// end of another connection is no news, whatever the words: a peer that refuses us
    /// may get its reason through at one time, and only close the connection at another.
    pub fn failed(&mut self, name: &PeerName, problem: &PeerProblem) -> bool {
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

    /// Records a peer's report. Returns true if it came over the current connection.
    pub fn reported(
        &mut self,
        now: Instant,
        name: &PeerName,
        link: LinkId,
        report: SupplyReport,
    ) -> bool {
        let fresh_for = self.fresh_for;
        let Some(peer) = self.of_link(name, link) else {
            return false;
        };
        if peer.seen.is_none() {
            peer.problem = None;
        }
        peer.seen = Some(KnownSupply::new(now, fresh_for, report, peer.seen.take()));
        true
    }

    /// Returns true if any peer qualifies.
    pub fn has_supply(&self, now: Instant, need: &Need) -> bool {
        let mut peers = self.by_name.values();
        peers.any(|peer| peer.can_be_asked(now, need))
    }

    /// Chooses a peer that is not in `asked`, by two random numbers from 0 to 1, and
    /// begins the call. Report its outcome to [`Self::ended`].
    pub fn choose(
        &mut self,
        now: Instant,
        need: &Need,
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
                let score = |(_, peer): (&PeerName, &Peer)| peer.score(now, need);
                let is_better = score(many[first]) >= score(many[second]);
                many[if is_better { first } else { second }]
            }
        };
        let name = name.clone();
        let peer = self.by_name.get_mut(&name)?;
        peer.begin(need);
        Some(name)
    }

    /// Records the end and the duration of a call. `jitter`, from 0 to 1, varies the
    /// pause after too many failures.
    pub fn ended(
        &mut self,
        now: Instant,
        name: &PeerName,
        need: &Need,
        (took, ended): (Duration, Ended),
        jitter: f64,
    ) {
        if let Some(peer) = self.by_name.get_mut(name) {
            peer.in_flight = peer.in_flight.saturating_sub(1);
            peer.learn(now, need, took, ended, jitter);
        }
    }

    /// The status of each peer.
    pub fn statuses(&self, now: Instant) -> Vec<PeerStatus> {
        let peers = self.by_name.iter();
        peers.map(|(name, peer)| peer.status(now, name)).collect()
    }

    fn of_link(&mut self, name: &PeerName, link: LinkId) -> Option<&mut Peer> {
        let peer = self.by_name.get_mut(name)?;
        (peer.link == Some(link)).then_some(peer)
    }
}

/// Two different indices below `count`, which must be at least 2.
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

impl SharedPools {
    /// Everybody's clients are not in a private pool.
    fn have(&self, name: Option<&PrivatePoolName>) -> bool {
        match (self, name) {
            (Self::All, _) | (_, None) => true,
            (Self::These(names), Some(name)) => names.contains(name),
        }
    }
}

impl Peer {
    fn new() -> Self {
        Self {
            terms: BorrowingTerms {
                borrows: false,
                max_in_flight: 0,
                private_pools: SharedPools::All,
            },
            link: None,
            seen: None,
            in_flight: 0,
            circuit: Circuit::new(),
            record: Record::default(),
            paused_until: None,
            problem: None,
        }
    }

    fn can_be_asked(&self, now: Instant, need: &Need) -> bool {
        let has_supply = self
            .seen
            .as_ref()
            .is_some_and(|seen| seen.free_for(now, need) > 0 && seen.knows(need));
        has_supply
            && self.terms.borrows
            && self.terms.private_pools.have(need.private_pool.as_ref())
            && self.link.is_some()
            && self.in_flight < self.terms.max_in_flight
            && self.paused_until.is_none_or(|until| until <= now)
            && self.circuit.allows(now)
    }

    fn score(&self, now: Instant, need: &Need) -> f64 {
        let seen = self.seen.as_ref();
        let free = seen.map_or(0, |seen| seen.free_for(now, need));
        f64::from(u32::try_from(free).unwrap_or(u32::MAX)) * self.record.weight(now)
    }

    fn begin(&mut self, need: &Need) {
        self.in_flight += 1;
        self.circuit.begin();
        if let Some(seen) = &mut self.seen {
            seen.take(need);
        }
    }

    fn learn(&mut self, now: Instant, need: &Need, took: Duration, ended: Ended, jitter: f64) {
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

    /// Corrects the peer's supply by its reply, until the next report.
    fn correct(&mut self, now: Instant, need: &Need, ended: Ended) {
        let Some(seen) = &mut self.seen else {
            return;
        };
        match ended {
            Ended::NoProxies => seen.has_none_for(need),
            Ended::Refused(LoanRefusal::UnknownBridge) => seen.lacks_bridge(need),
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
            borrows: self.terms.borrows,
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
