//! The senders of requests, and the errors that they get.

use std::net::IpAddr;
use std::time::Instant;

/// The sender of a request, as far as a front knows it.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The time at which the request arrived.
    pub arrived: Instant,
    /// The sender's address; `None` if the front sees only an intermediary.
    pub address: Option<IpAddr>,
    /// The origin that the request counts against.
    pub origin: RequestOrigin,
}

/// The origin that a request counts against in the [limits](super::limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOrigin {
    /// A program on this machine, which is not limited.
    Local,
    /// The sender itself, or the network that it shares an address with.
    Sender(IpAddr),
    /// A remote address that claims to forward for others and may be anyone, because the
    /// operator has named no reverse proxies.
    Unconfirmed {
        /// The remote address.
        peer: IpAddr,
        /// The address that it claims to forward for; `None` if that is an
        /// [intermediary](Self::Intermediary).
        claimed: Option<IpAddr>,
    },
    /// An address that forwards requests of many senders without naming them, such as an
    /// AMP cache or a CDN that sets no header.
    Intermediary(IpAddr),
    /// A client that wrote into a queue; only its offer shows its address.
    Queue,
}

impl RequestOrigin {
    /// The address of a client, as far as it is known: `offered`, from its offer, counts if
    /// the request came through an intermediary that names nobody.
    pub(super) fn client(self, offered: impl FnOnce() -> Option<IpAddr>) -> Option<IpAddr> {
        match self {
            Self::Local => None,
            Self::Sender(address) => Some(address),
            Self::Unconfirmed { claimed, .. } => claimed.or_else(offered),
            Self::Intermediary(_) | Self::Queue => offered(),
        }
    }

    /// Returns true if the request also counts against the address in its offer.
    pub(super) fn counts_offered_address(self) -> bool {
        match self {
            Self::Local | Self::Sender(_) => false,
            Self::Unconfirmed { claimed, .. } => claimed.is_none(),
            Self::Intermediary(_) | Self::Queue => true,
        }
    }
}

/// The reason why a client gets no answer. The texts are sent to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The client's bridge is not in the bridge list.
    #[error("bridge with requested fingerprint is unknown to the broker")]
    UnknownBridge,
    /// No address of the client's bridge is up.
    #[error("bridge with requested fingerprint takes no new clients")]
    BridgeDraining,
    /// No proxy got the offer.
    #[error("no snowflake proxies currently available")]
    NoProxies,
    /// No proxy answered in time.
    #[error("timed out waiting for answer!")]
    TimedOut,
    /// Too many clients asked from the same origin.
    #[error("too many requests, slow down")]
    OverLimit,
    /// Too many clients came to the private pool.
    #[error("too many requests, slow down")]
    PoolOverLimit,
}

/// The error for an answer from an origin that sent too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many answers")]
pub struct OverLimit;

#[cfg(test)]
mod tests {
    use super::*;

    /// An address of a private network counts as any other: a broker may be in one.
    #[test]
    fn a_client_is_known_by_the_address_that_somebody_vouches_for_first() {
        let address = |number| IpAddr::from([10, 0, 0, number]);
        let offered = Some(address(3));
        let (peer, claimed) = (address(1), Some(address(2)));
        for (origin, expected) in [
            (RequestOrigin::Local, None),
            (RequestOrigin::Sender(peer), Some(peer)),
            (RequestOrigin::Unconfirmed { peer, claimed }, claimed),
            (
                RequestOrigin::Unconfirmed {
                    peer,
                    claimed: None,
                },
                offered,
            ),
            (RequestOrigin::Intermediary(peer), offered),
            (RequestOrigin::Queue, offered),
        ] {
            assert_eq!(origin.client(|| offered), expected, "{origin:?}");
        }
    }
}
