//! The other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use super::slots::SlotHolder;

/// The address at the other end of a TCP connection; an extension of each request
/// that came by one.
#[derive(Clone, Copy, Debug)]
pub struct RemoteAddress(pub SocketAddr);

/// The proofs that a peer has given with its connection; an extension of each request
/// where callers have to show credentials. It has no address, so none gets into a log.
#[derive(Clone, Debug)]
pub enum PeerIdentity {
    /// The peer has opened a Unix socket.
    Unix {
        /// The user, if the system knows.
        uid: Option<u32>,
    },
    /// The peer comes by TCP, in the clear or over TLS.
    Tcp {
        /// True if it comes from this machine.
        is_loopback: bool,
        /// The DNS and URI names of its certificate.
        certificate_names: Arc<[String]>,
        /// The holder of its connection's slot, if slots are counted.
        holder: Option<Arc<SlotHolder>>,
    },
}

impl PeerIdentity {
    /// The DNS and URI names of the peer's certificate.
    pub fn certificate_names(&self) -> &[String] {
        match self {
            Self::Unix { .. } => &[],
            Self::Tcp {
                certificate_names, ..
            } => certificate_names,
        }
    }

    /// The holder of the connection's slot.
    pub fn holder(&self) -> Option<&Arc<SlotHolder>> {
        match self {
            Self::Unix { .. } => None,
            Self::Tcp { holder, .. } => holder.as_ref(),
        }
    }

    /// Returns true if the peer comes from this machine by TCP.
    pub fn is_loopback(&self) -> bool {
        matches!(
            self,
            Self::Tcp {
                is_loopback: true,
                ..
            }
        )
    }
}
