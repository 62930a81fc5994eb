//! Owners of accounts, identified by hashes of the networks around them.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;

use crate::networks::{LEVELS, around};

/// The payer for the memory of a request or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer {
    /// An address, with one share.
    Address(IpAddr),
    /// A peer that forwards for many, or a program on this machine: limited only by the
    /// bound of all accounts together.
    Many,
}

impl From<IpAddr> for Payer {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

/// The accounts of one payer, from its address to the outermost network. Empty for a
/// payer without a share.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NetworkPath {
    hashes: [u64; LEVELS],
    length: usize,
}

impl NetworkPath {
    pub(super) fn hashes(&self) -> &[u64] {
        &self.hashes[..self.length]
    }
}

/// Hashes networks with a secret key.
#[derive(Debug, Default)]
pub(super) struct NetworkHasher(RandomState);

impl NetworkHasher {
    pub(super) fn of(&self, payer: Payer) -> NetworkPath {
        let mut path = NetworkPath::default();
        if let Payer::Address(address) = payer {
            for (hash, network) in path.hashes.iter_mut().zip(around(address)) {
                *hash = self.0.hash_one(network);
                path.length += 1;
            }
        }
        path
    }
}
