//! The terms in which the engine is told of requests. A leaf: the rest of the
//! engine builds on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slotmap::new_key_type;

use crate::wire::nat::{NatClass, NatType};
use crate::wire::session_description::SessionDescription;

new_key_type! {
    /// The name of one poll; never used again for another.
    pub struct PollKey;
    /// The name of one client's request; never used again for another.
    pub struct ClientKey;
}

/// A client's offer, and what it takes to serve it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOffer {
    /// The offer itself.
    pub offer: SessionDescription,
    /// The NAT that its client is behind.
    pub nat: NatType,
    /// The WebSocket address of the bridge that its client wants.
    pub relay_url: Arc<str>,
}

impl ClientOffer {
    /// The class that decides which proxies can serve the client.
    pub fn class(&self) -> NatClass {
        NatClass::of(self.nat)
    }
}

/// The terms of a client of another broker, which asks for one of our proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Borrower {
    /// Until when its broker waits for an answer.
    pub deadline: Instant,
    /// The number of the proxy that it is to get, from 1 on.
    pub attempt: usize,
    /// The number of proxies of each pool that are not for others.
    pub reserve: usize,
}

/// The proxies that peers say to have for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SupplyHint {
    /// There is no peer to ask, now or later.
    NoPeers,
    /// No peer says to have one.
    Empty,
    /// A peer says to have one.
    Available,
}

/// The result of asking peers for one client, one peer after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerReply {
    /// A proxy of a peer has answered.
    Answered {
        /// Its answer.
        answer: SessionDescription,
        /// The time that the peer took that had it.
        since_asked: Duration,
    },
    /// There was no peer to ask.
    NotAsked,
    /// No peer that was asked had a proxy.
    NoProxy,
    /// A proxy may have had the offer, and there is no answer.
    Unanswered,
}

/// The stages of the engine on the way to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceStage {
    /// Polls are parked and clients matched.
    #[default]
    Serving,
    /// No poll is parked; clients are matched.
    LameDuck,
    /// Nobody new is matched.
    Draining,
}
