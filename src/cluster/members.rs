//! The nodes that are heard of, and what each could take. Pure: the time and random numbers
//! are parameters.
//!
//! A node says what it has ([`Supply`]); nobody infers it from silence. Who has not been
//! heard of for [`FRESH_FOR`] has nothing, and is forgotten.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::broker::nodes::NodeStatus;
use crate::metrics::labels::{DroppedMessage, PeerName};
use crate::peers::protocol::{private_pools, proxies};
use crate::peers::{
    BorrowingTerms, Ended, KnownBridges, LinkId, Need, Peers, SharedPools, SupplyReport,
};
use crate::proto::cluster::v1;
use crate::proto::cluster::v1::supply::State;

use super::sender_clock::SenderClock;

/// The age at which a node's word of its supply no longer counts.
pub(super) const FRESH_FOR: Duration = Duration::from_secs(3);
/// The maximum number of other nodes.
const NODES_MAX: usize = 64;
/// The maximum number of offers that wait for an answer of one node.
const IN_FLIGHT_MAX: usize = 1_000;
/// The maximum length of a version.
const VERSION_MAX: usize = 64;

/// The sender of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender<'a> {
    /// The name of the node.
    pub(super) node: &'a str,
    /// The number of its process.
    pub(super) incarnation: u64,
    /// The time of sending on its clock.
    pub(super) sent_at_ms: u64,
}

/// A change that the operator hears of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NodeChange {
    /// A node has joined, or its process is another one.
    Joined(PeerName),
    /// A node has left.
    Left(PeerName),
    /// Nothing has been heard of a node for a while.
    Lost(PeerName),
    /// Two processes send under one name.
    SameName(PeerName),
}

/// The meaning of a word of supply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is what a node has now.
    Supply,
    /// It changes who the nodes are.
    Change(NodeChange),
    /// It is from a process that is not known, or was once. The process is to be asked.
    Unproven,
}

impl Heard {
    fn of(change: Option<NodeChange>) -> Self {
        change.map_or(Self::Supply, Self::Change)
    }
}

/// The other nodes.
#[derive(Debug)]
pub(super) struct Membership {
    /// The start of our own clock.
    started: Instant,
    nodes: BTreeMap<PeerName, KnownNode>,
    peers: Peers,
}

#[derive(Debug)]
struct KnownNode {
    incarnation: u64,
    clock: SenderClock,
    heard: Instant,
    lag: Duration,
    sequence: u64,
    link: LinkId,
    version: String,
    is_draining: bool,
}

impl Membership {
    pub(super) fn new(started: Instant) -> Self {
        Self {
            started,
            nodes: BTreeMap::new(),
            peers: Peers::new(FRESH_FOR),
        }
    }

    /// Handles a node's word of its supply. `is_proven` says that its process is there, and that
    /// nobody repeats what it said once: only then is it a node.
    pub(super) fn supplied(
        &mut self,
        now: Instant,
        sender: Sender<'_>,
        supply: &v1::Supply,
        is_proven: bool,
    ) -> Result<Heard, DroppedMessage> {
        let name = PeerName::from(sender.node);
        if supply.state() == State::Left {
            return Ok(Heard::of(self.left(&name, sender.incarnation)));
        }
        if !is_proven && !self.knows(&name, sender.incarnation) {
            return Ok(Heard::Unproven);
        }
        let change = self.admit(now, &name, sender)?;
        if let Some(NodeChange::SameName(_)) = change {
            return Ok(Heard::of(change));
        }
        let Some(member) = self.nodes.get_mut(&name) else {
            return Ok(Heard::of(change));
        };
        let age = member.clock.age(self.started, now, sender.sent_at_ms);
        if change.is_none() && supply.sequence <= member.sequence {
            return Err(DroppedMessage::Repeated);
        }
        if age > FRESH_FOR {
            return Err(DroppedMessage::Late);
        }
        member.heard = now;
        member.lag = age;
        member.sequence = supply.sequence;
        member.is_draining = supply.state() != State::Serving;
        if member.version != supply.version {
            member.version = supply.version.chars().take(VERSION_MAX).collect();
        }
        let link = member.link;
        self.peers.reported(now, &name, link, report(supply));
        Ok(Heard::of(change))
    }

    fn knows(&self, name: &PeerName, incarnation: u64) -> bool {
        let known = self.nodes.get(name);
        known.is_some_and(|known| known.incarnation == incarnation)
    }

    /// Makes sure that the sender is known.
    fn admit(
        &mut self,
        now: Instant,
        name: &PeerName,
        sender: Sender<'_>,
    ) -> Result<Option<NodeChange>, DroppedMessage> {
        if let Some(known) = self.nodes.get(name) {
            match sender.incarnation.cmp(&known.incarnation) {
                Ordering::Equal => return Ok(None),
                // Another process has the name. It is the earlier one.
                Ordering::Less => return Ok(Some(NodeChange::SameName(name.clone()))),
                Ordering::Greater => {}
            }
        } else if self.nodes.len() >= NODES_MAX {
            return Err(DroppedMessage::Overloaded);
        }
        self.remove(name);
        self.join(now, name, sender);
        Ok(Some(NodeChange::Joined(name.clone())))
    }

    fn join(&mut self, now: Instant, name: &PeerName, sender: Sender<'_>) {
        let terms = BorrowingTerms {
            borrows: true,
            max_in_flight: IN_FLIGHT_MAX,
            private_pools: SharedPools::All,
        };
        self.peers.add(name.clone(), terms);
        let Some(link) = self.peers.connected(name) else {
            return;
        };
        let member = KnownNode {
            incarnation: sender.incarnation,
            clock: SenderClock::new(self.started, now, sender.sent_at_ms),
            heard: now,
            lag: Duration::ZERO,
            sequence: 0,
            link,
            version: String::new(),
            is_draining: false,
        };
        self.nodes.insert(name.clone(), member);
    }

    fn left(&mut self, name: &PeerName, incarnation: u64) -> Option<NodeChange> {
        let known = self.nodes.get(name)?;
        if known.incarnation != incarnation {
            return None;
        }
        self.remove(name);
        Some(NodeChange::Left(name.clone()))
    }

    fn remove(&mut self, name: &PeerName) -> Option<KnownNode> {
        let member = self.nodes.remove(name)?;
        self.peers.remove(name);
        Some(member)
    }

    /// The age of a message of a node; `None` if nothing is known of its process yet.
    pub(super) fn age(&mut self, now: Instant, sender: Sender<'_>) -> Option<Duration> {
        let name = PeerName::from(sender.node);
        let member = self.nodes.get_mut(&name)?;
        let is_same = member.incarnation == sender.incarnation;
        is_same.then(|| member.clock.age(self.started, now, sender.sent_at_ms))
    }

    /// Forgets the nodes that have not been heard of for too long.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<NodeChange> {
        let silent = self
            .nodes
            .iter()
            .filter(|(_, member)| now.saturating_duration_since(member.heard) > FRESH_FOR);
        let silent: Vec<_> = silent.map(|(name, _)| name.clone()).collect();
        for name in &silent {
            self.remove(name);
        }
        silent.into_iter().map(NodeChange::Lost).collect()
    }

    /// The names of the nodes.
    pub(super) fn names(&self) -> BTreeSet<PeerName> {
        self.nodes.keys().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn has_supply(&self, now: Instant, need: &Need) -> bool {
        self.peers.has_supply(now, need)
    }

    /// Chooses a node that is not in `asked`, and begins the call; see [`Peers::choose`].
    pub(super) fn choose(
        &mut self,
        now: Instant,
        need: &Need,
        asked: &BTreeSet<PeerName>,
        draws: [f64; 2],
    ) -> Option<PeerName> {
        self.peers.choose(now, need, asked, draws)
    }

    /// Records the end and the duration of a call; see [`Peers::ended`].
    pub(super) fn ended(
        &mut self,
        now: Instant,
        name: &PeerName,
        need: &Need,
        end: (Duration, Ended),
        jitter: f64,
    ) {
        self.peers.ended(now, name, need, end, jitter);
    }

    /// The state of each node.
    pub(super) fn statuses(&self, now: Instant) -> Vec<NodeStatus> {
        let statuses = self.peers.statuses(now).into_iter();
        let with_member = statuses.filter_map(|status| {
            let member = self.nodes.get(&status.figures.name)?;
            Some(NodeStatus {
                name: status.figures.name,
                version: member.version.clone(),
                supply: status.figures.supply,
                silent_for: now.saturating_duration_since(member.heard),
                lag: member.lag,
                is_draining: member.is_draining,
                offers_sent: status.borrowing,
                latency: status.latency,
            })
        });
        with_member.collect()
    }
}

/// Decodes a node's supply.
fn report(supply: &v1::Supply) -> SupplyReport {
    SupplyReport {
        proxies: proxies(&supply.pools),
        private_pools: private_pools(&supply.private_pools),
        is_draining: supply.state() != State::Serving,
        bridges: Some(KnownBridges::Ours),
    }
}

#[cfg(test)]
mod tests;
