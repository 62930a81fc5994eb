//! The networks that an address is in, each of which has an account.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;

use super::Payer;

/// Lengths of the prefixes, from an address on outward. A customer has an IPv4
/// address, or of IPv6 mostly a /64 or /56; a /24 and a /48 are the smallest
/// networks that are routed by themselves.
const IPV4: [u32; 2] = [32, 24];
const IPV6: [u32; 3] = [64, 56, 48];

/// The most accounts that one address is in.
pub(super) const LEVELS: usize = IPV6.len();

/// The accounts that one payer is in, by hashes: that of the address first, and
/// last that of the network which is routed by itself. None for who has no share.
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
        let Payer::Address(address) = payer else {
            return Path::default();
        };
        let (bits, prefixes): (u128, &[u32]) = match address.to_canonical() {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, &IPV4),
            IpAddr::V6(address) => (address.to_bits(), &IPV6),
        };
        let mut path = Path {
            length: prefixes.len(),
            ..Path::default()
        };
        for (hash, prefix) in path.hashes.iter_mut().zip(prefixes) {
            *hash = self.0.hash_one((prefix, bits >> (128 - prefix)));
        }
        path
    }
}
