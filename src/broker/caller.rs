//! The senders of requests, and what those hear that get nothing.

use std::net::IpAddr;
use std::time::Instant;

/// The sender of a request, as far as a front knows it.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The time at which the request arrived.
    pub arrived: Instant,
    /// The sender's address; `None` where the front sees only somebody who
    /// passes requests on.
    pub address: Option<IpAddr>,
    /// The origin that the request counts against.
    pub origin: RequestOrigin,
}

/// The origin that a request counts against, for [limits](super::limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOrigin {
    /// A program on this machine: nobody.
    Local,
    /// The sender itself, or what it shares an address with.
    Sender(IpAddr),
    /// A peer that says to forward for others, and may be anybody: the operator
    /// has named no reverse proxies.
    Unconfirmed {
        /// The peer.
        peer: IpAddr,
        /// For whom it says to forward; `None` if that is an
        /// [intermediary](Self::Intermediary).
        claimed: Option<IpAddr>,
    },
    /// Somebody at this address who passes on the requests of many senders and
    /// does not say whose: an AMP cache, a CDN without a header.
    Intermediary(IpAddr),
    /// Somebody who wrote into a queue: only its offer says where it is.
    Queue,
}

impl RequestOrigin {
    /// Returns true if the request counts against the address in its offer, too.
    pub(super) fn counts_offered_address(self) -> bool {
        match self {
            Self::Local | Self::Sender(_) => false,
            Self::Unconfirmed { claimed, .. } => claimed.is_none(),
            Self::Intermediary(_) | Self::Queue => true,
        }
    }
}

/// The reason why a client gets no answer. The texts are on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Its bridge is not in the list.
    #[error("bridge with requested fingerprint is unknown to the broker")]
    UnknownBridge,
    /// It was offered to no proxy.
    #[error("no snowflake proxies currently available")]
    NoProxies,
    /// No proxy answered in time.
    #[error("timed out waiting for answer!")]
    TimedOut,
    /// More clients than may asked from where it is.
    #[error("too many requests, slow down")]
    OverLimit,
}

/// More answers than may came from where a proxy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many answers")]
pub struct OverLimit;
