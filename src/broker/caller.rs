//! Who sends a request.

use std::net::IpAddr;
use std::time::Instant;

/// The sender of a request, as far as a front knows it.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// When the request arrived.
    pub arrived: Instant,
    /// The sender's address; `None` where the front sees only somebody who
    /// passes requests on.
    pub address: Option<IpAddr>,
    /// Whom the request counts against.
    pub origin: Origin,
}

/// Whom a request counts against, for [limits](super::limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
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

impl Origin {
    /// Whether the request counts against the address in its offer, too.
    pub(super) fn counts_offered_address(self) -> bool {
        match self {
            Self::Local | Self::Sender(_) => false,
            Self::Unconfirmed { claimed, .. } => claimed.is_none(),
            Self::Intermediary(_) | Self::Queue => true,
        }
    }
}
