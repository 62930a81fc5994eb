//! The types with which requests are passed to the engine. This module imports nothing
//! from the rest of the engine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slotmap::new_key_type;

use crate::policy::PolicyMarks;
use crate::wire::nat::{NatClass, NatType};
use crate::wire::session_description::SessionDescription;

new_key_type! {
    /// The key of a poll; never reused for another poll.
    pub struct PollKey;
    /// The key of a client's request; never reused for another request.
    pub struct ClientKey;
}

/// The source of a proxy's poll, as plain numbers: nothing here is an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Stands for the address, or of IPv6 the /64.
    pub id: u64,
    /// Stands for the network around it, a /24 or /48.
    pub network: u64,
    /// The multiple of the limits that the source has; 1 for nearly all.
    pub share: u32,
    /// Its record with the clients that it had.
    pub record: SourceRecord,
    /// Its matches at the other nodes of a cluster.
    pub elsewhere: MatchesElsewhere,
}

/// The matches of the last minute of a source at other nodes, which count as if they had been
/// made here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MatchesElsewhere {
    /// Matches of the source.
    pub source: u32,
    /// The matches by which its limit has grown there.
    pub growth: u32,
    /// Matches of the network around it.
    pub network: u32,
}

/// The matches of the last minute of a source or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchTally {
    /// Stands for the source or the network.
    pub id: u64,
    /// Matches.
    pub matches: u32,
    /// The matches by which a source's limit has grown; 0 for a network.
    pub growth: u32,
}

/// The record of a source, as its poll comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceRecord {
    /// The band in which it is served.
    pub band: Band,
    /// The matches of the last hour that worked, by which its limits grow.
    pub worked: u32,
    /// True if it has failed so often in a row that it gets no client for now.
    pub rests: bool,
}

/// The bands in which sources are served, the first one first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Band {
    /// Its matches work as those of others do.
    Good,
    /// Too little is known of it.
    #[default]
    Unknown,
    /// Its matches work much less often than those of others.
    Bad,
}

impl Band {
    /// All bands.
    pub const ALL: [Self; 3] = [Self::Good, Self::Unknown, Self::Bad];

    /// The name of the band.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Unknown => "unknown",
            Self::Bad => "bad",
        }
    }
}

/// A client's offer and the data needed to serve it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOffer {
    /// The session description.
    pub offer: SessionDescription,
    /// The client's NAT.
    pub nat: NatType,
    /// The WebSocket address of the bridge that the client wants.
    pub relay_url: Arc<str>,
    /// Stands for the client's network, with which it takes turns; `None` if it is not
    /// known.
    pub network: Option<u64>,
    /// The marks by which rules of the policy apply to the client.
    pub marks: PolicyMarks,
}

impl ClientOffer {
    /// The NAT class, which decides which proxies can serve the client.
    pub fn class(&self) -> NatClass {
        NatClass::of(self.nat)
    }
}

/// The terms of a peer's client that asks for one of our proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Borrower {
    /// The time until which the borrower waits for an answer.
    pub deadline: Instant,
    /// The number of the attempt, counted from 1.
    pub attempt: usize,
    /// The number of proxies in each pool that are not lent.
    pub reserve: usize,
}

/// The proxies that peers report for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SupplyHint {
    /// There is no peer to ask, now or later.
    NoPeers,
    /// No peer reports a proxy.
    Empty,
    /// A peer reports a proxy.
    Available,
}

/// The result of asking peers for one client, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerReply {
    /// A peer's proxy answered.
    Answered {
        /// The proxy's answer.
        answer: SessionDescription,
        /// The time that the answering peer took.
        since_asked: Duration,
    },
    /// There was no peer to ask.
    NotAsked,
    /// None of the peers asked had a proxy.
    NoProxy,
    /// A proxy may have had the offer, but there is no answer.
    Unanswered,
}

impl PeerReply {
    /// The reply of peers that were asked one after the other: an answer, or else the one that
    /// says most of where the offer was.
    #[must_use]
    pub fn followed_by(self, next: Self) -> Self {
        match (&self, &next) {
            (_, Self::Answered { .. } | Self::Unanswered) | (Self::NotAsked, _) => next,
            _ => self,
        }
    }
}

/// The stages of the engine until its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceStage {
    /// Polls are parked and clients matched.
    #[default]
    Serving,
    /// No poll is parked; clients are matched.
    LameDuck,
    /// No more clients are matched.
    Draining,
}
