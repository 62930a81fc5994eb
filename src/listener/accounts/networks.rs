//! The accounts that an address is in, by hashes of the networks around it.

use std::hash::{BuildHasher as _, RandomState};

use crate::networks::{LEVELS, around};

use super::Payer;

/// The accounts that one payer is in: that of the address first, and last that of the
/// network which is routed by itself. None for who has no share.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Path {
    hashes: [u64; LEVELS],
    length: usize,
}

impl Path {
    pub(super) fn hashes(&self) -> &[u64] {
        &self.hashes[..self.length]
    }
}

/// Tells networks by hashes that nobody else can make.
#[derive(Debug, Default)]
pub(super) struct Networks(RandomState);

impl Networks {
    pub(super) fn of(&self, payer: Payer) -> Path {
        let mut path = Path::default();
        if let Payer::Address(address) = payer {
            for (hash, network) in path.hashes.iter_mut().zip(around(address)) {
                *hash = self.0.hash_one(network);
                path.length += 1;
            }
        }
        path
    }
}
