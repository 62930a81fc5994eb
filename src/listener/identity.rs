//! The identity of a connection's peer.

use std::net::SocketAddr;
use std::sync::Arc;

use super::slots::SlotHolder;

/// The peer's address; an extension of each request over TCP.
#[derive(Clone, Copy, Debug)]
pub struct RemoteAddress(pub SocketAddr);

/// The proofs of identity from a peer's connection; an extension of each request on
/// listeners that require credentials. It contains no address, so that none can be
/// logged.
#[derive(Clone, Debug)]
pub enum PeerIdentity {
    /// A peer on a Unix socket.
    Unix {
        /// The user ID, if the system provides it.
        uid: Option<u32>,
    },
    /// A peer over TCP, with or without TLS.
    Tcp {
        /// True if the peer is on this machine.
        is_loopback: bool,
        /// The DNS and URI names in the peer's certificate.
        certificate_names: Arc<[String]>,
        /// The holder of the connection's slot, if slots are used.
        holder: Option<Arc<SlotHolder>>,
    },
}

impl PeerIdentity {
    /// The DNS and URI names in the peer's certificate.
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

    /// Returns true if the peer connects over TCP from this machine.
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
