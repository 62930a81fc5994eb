//! Those who have accounts, told by hashes of the networks around them.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;

use crate::networks::{LEVELS, around};

/// The one who pays for what a request or a connection holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer {
    /// Somebody at this address, who has the share of one.
    Address(IpAddr),
    /// Somebody who passes on what many send, or a program on this machine: there
    /// is no share, only the bound of all together.
    Many,
}

impl From<IpAddr> for Payer {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

/// The accounts that one payer is in: that of the address first, and last that of the
/// network which is routed by itself. None for who has no share.
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

/// Tells networks by hashes that nobody else can make.
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
