//! Numbers of different addresses of proxies in a window, by country,
//! type and NAT, with no address kept.
//!
//! # What is kept, and what it gives away
//!
//! **In memory**: of each address a 64-bit hash under a key that is random, new
//! each window and never on disk, and which types and NATs it came with. Who
//! has the memory has the key, and can test whether an address was seen; who
//! has only what is on disk cannot. The counts from it are exact.
//!
//! **On disk**, so that a window survives a restart: per label its count and a
//! [`Sketch`]. An address that was seen before and after the restart must be
//! counted once, so the sketches' hash must be the same before and after; then
//! its key would have to be on disk beside them, where it protects nothing: the
//! 2^32 IPv4 addresses are soon tried. So that hash is public, which besides
//! lets sketches be merged, and what protects the addresses is how little of
//! the hash a sketch looks at, 26 bits, and the crowd:
//!
//! - In the sketches of all addresses, of a type or of a NAT, 2^32 addresses
//!   share 2^26 patterns. With 150,000 addresses in it, a sketch takes half of
//!   all addresses that there are for members: it shows that one was *not*
//!   seen, hardly that one was. Its rarest entries leave 64 IPv4 addresses to
//!   choose from, and a sketch of few addresses leaves some thousands for each.
//! - In the sketch of a country only the country's own addresses come into
//!   question. Where these are fewer than some 250,000, hardly two fit the same
//!   pattern, and the sketch is as good as a list. No sketch avoids this: to
//!   count few to 1 % is to tell them apart.
//!
//! Therefore: the saved state is not for publication, is to be readable by the
//! broker only, and must go when its window ends. Only proxies are in it, never
//! clients; a censor learns proxies' addresses faster by asking for them.
//!
//! # Accuracy
//!
//! Exact without a restart. After one, what was counted stays exact and what
//! has come since is estimated, with a standard error under 0.29 %.

mod estimate;
mod sketch;
mod tally;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

use super::labels;
use crate::geoip::CountryCode;
use crate::wire::nat::NatType;
use crate::wire::proxy::ProxyType;
use sketch::SketchHash;
pub use sketch::{InvalidSketch, Sketch};
use tally::{SavedTally, Tally};

/// The key of a window's hashes: 128 random bits from the caller. `Debug` does
/// not show them, and they are not written anywhere.
#[derive(Clone, Copy)]
pub struct WindowKey([u8; 16]);

impl From<[u8; 16]> for WindowKey {
    fn from(random: [u8; 16]) -> Self {
        Self(random)
    }
}

impl fmt::Debug for WindowKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WindowKey(..)")
    }
}

/// Numbers of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UniqueIps {
    /// In all.
    pub total: u64,
    /// By the country that an address was in when it first came.
    pub by_country: BTreeMap<CountryCode, u64>,
    /// An address that came with two types counts for both.
    pub by_type: BTreeMap<ProxyType, u64>,
    /// An address that came with two NATs counts for both.
    pub by_nat: BTreeMap<NatType, u64>,
}

/// The addresses of one window.
#[derive(Debug)]
pub struct DistinctIps {
    key: WindowKey,
    limit: usize,
    /// By an address's hash: with which types and NATs it came.
    seen: HashMap<u64, Pairs, BuildHasherDefault<Hashed>>,
    tallies: Tallies,
}

/// A window's addresses as they are saved. Reading them back checks them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedIps {
    total: SavedTally,
    by_country: BTreeMap<CountryCode, SavedTally>,
    #[serde(with = "labels")]
    by_type: BTreeMap<ProxyType, SavedTally>,
    #[serde(with = "labels")]
    by_nat: BTreeMap<NatType, SavedTally>,
}

#[derive(Debug, Default)]
struct Tallies {
    total: Tally,
    by_country: BTreeMap<CountryCode, Tally>,
    by_type: BTreeMap<ProxyType, Tally>,
    by_nat: BTreeMap<NatType, Tally>,
    /// An address may come that is not in the table and yet not new.
    uncertain: bool,
}

impl DistinctIps {
    /// The addresses that a table of 36 MB holds, eight times those of the
    /// largest Snowflake broker's busiest day.
    pub const DEFAULT_LIMIT: usize = (1 << 21) / 8 * 7;

    /// A window without addresses. Beyond `limit` of them there are only
    /// sketches, so that memory is bounded.
    pub fn new(key: WindowKey, limit: usize) -> Self {
        Self {
            key,
            limit,
            seen: HashMap::default(),
            tallies: Tallies::default(),
        }
    }

    /// A window that goes on after a restart, under a new key.
    pub fn restore(key: WindowKey, limit: usize, saved: SavedIps) -> Self {
        Self {
            tallies: Tallies::from(saved),
            ..Self::new(key, limit)
        }
    }

    /// Counts the address of a proxy, an IPv4-mapped one as IPv4. Tells whether
    /// it came for the first time, with whatever type and NAT, as far as is known:
    /// beyond the limit it is never said to, and after a restart once more.
    pub fn record(
        &mut self,
        address: IpAddr,
        country: CountryCode,
        proxy_type: ProxyType,
        nat: NatType,
    ) -> bool {
        let address = address.to_canonical();
        let pair = Pairs::of(proxy_type, nat);
        let before = self.enter(address, pair);
        if before.is_some_and(|pairs| pairs.intersects(pair)) {
            return false;
        }
        let known = before.unwrap_or_default();
        let hash = SketchHash::of(address);
        let is_unknown = known == Pairs::default();
        if is_unknown {
            self.tallies.add_new(hash, country);
        }
        if !known.intersects(Pairs::of_type(proxy_type)) {
            self.tallies.add_to_type(hash, proxy_type);
        }
        if !known.intersects(Pairs::of_nat(nat)) {
            self.tallies.add_to_nat(hash, nat);
        }
        is_unknown && before.is_some()
    }

    /// The counts so far. Takes some milliseconds once it estimates.
    pub fn counts(&self) -> UniqueIps {
        UniqueIps {
            total: self.tallies.total.count(),
            by_country: map(&self.tallies.by_country, Tally::count),
            by_type: map(&self.tallies.by_type, Tally::count),
            by_nat: map(&self.tallies.by_nat, Tally::count),
        }
    }

    /// The counts and sketches to save.
    pub fn save(&self) -> SavedIps {
        SavedIps {
            total: self.tallies.total.save(),
            by_country: map(&self.tallies.by_country, Tally::save),
            by_type: map(&self.tallies.by_type, Tally::save),
            by_nat: map(&self.tallies.by_nat, Tally::save),
        }
    }

    /// Bytes held on the heap, the sketches' tree nodes left aside.
    pub fn heap_size(&self) -> usize {
        let sketches: usize = self.tallies.all().map(Tally::heap_size).sum();
        table_size(self.seen.capacity()) + sketches
    }

    /// Notes an address; what was known of it, none for a new one, or `None`
    /// when it is not in the table, which is full.
    fn enter(&mut self, address: IpAddr, pair: Pairs) -> Option<Pairs> {
        let hash = self.hash(address);
        if let Some(pairs) = self.seen.get_mut(&hash) {
            let before = *pairs;
            pairs.insert(pair);
            return Some(before);
        }
        if self.seen.len() >= self.limit {
            self.tallies.end_exact_counts();
            return None;
        }
        self.seen.insert(hash, pair);
        Some(Pairs::default())
    }

    fn hash(&self, address: IpAddr) -> u64 {
        let hasher = SipHasher24::new_with_key(&self.key.0);
        match address {
            IpAddr::V4(address) => hasher.hash(&address.octets()),
            IpAddr::V6(address) => hasher.hash(&address.octets()),
        }
    }
}

impl Tallies {
    fn add_new(&mut self, hash: SketchHash, country: CountryCode) {
        self.total.add(hash);
        tally(&mut self.by_country, country, self.uncertain).add(hash);
    }

    fn add_to_type(&mut self, hash: SketchHash, proxy_type: ProxyType) {
        tally(&mut self.by_type, proxy_type, self.uncertain).add(hash);
    }

    fn add_to_nat(&mut self, hash: SketchHash, nat: NatType) {
        tally(&mut self.by_nat, nat, self.uncertain).add(hash);
    }

    fn end_exact_counts(&mut self) {
        if self.uncertain {
            return;
        }
        self.uncertain = true;
        self.total.end_exact_count();
        let labelled = self
            .by_country
            .values_mut()
            .chain(self.by_type.values_mut())
            .chain(self.by_nat.values_mut());
        labelled.for_each(Tally::end_exact_count);
    }

    fn all(&self) -> impl Iterator<Item = &Tally> {
        [&self.total]
            .into_iter()
            .chain(self.by_country.values())
            .chain(self.by_type.values())
            .chain(self.by_nat.values())
    }
}

impl From<SavedIps> for Tallies {
    fn from(saved: SavedIps) -> Self {
        Self {
            total: saved.total.into(),
            by_country: restored(saved.by_country),
            by_type: restored(saved.by_type),
            by_nat: restored(saved.by_nat),
            // An address of before the restart is new to the table, and counted
            // by sketch in the tallies that were saved. A label that comes only
            // now has its addresses only now: they can be counted.
            uncertain: false,
        }
    }
}

fn tally<L: Ord>(tallies: &mut BTreeMap<L, Tally>, label: L, uncertain: bool) -> &mut Tally {
    let tally = tallies.entry(label).or_default();
    if uncertain {
        tally.end_exact_count();
    }
    tally
}

fn map<L: Copy + Ord, T>(
    tallies: &BTreeMap<L, Tally>,
    value: impl Fn(&Tally) -> T,
) -> BTreeMap<L, T> {
    let entry = |(label, tally): (&L, &Tally)| (*label, value(tally));
    tallies.iter().map(entry).collect()
}

fn restored<L: Ord>(saved: BTreeMap<L, SavedTally>) -> BTreeMap<L, Tally> {
    saved
        .into_iter()
        .map(|(label, tally)| (label, tally.into()))
        .collect()
}

/// Pairs of a type and a NAT, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pairs(u64);

impl Pairs {
    fn of(proxy_type: ProxyType, nat: NatType) -> Self {
        Self(1 << (proxy_type as usize * NatType::ALL.len() + nat as usize))
    }

    fn of_type(proxy_type: ProxyType) -> Self {
        Self::all(NatType::ALL.map(|nat| Self::of(proxy_type, nat)))
    }

    fn of_nat(nat: NatType) -> Self {
        Self::all(ProxyType::ALL.map(|proxy_type| Self::of(proxy_type, nat)))
    }

    fn all(pairs: impl IntoIterator<Item = Self>) -> Self {
        Self(pairs.into_iter().fold(0, |all, pair| all | pair.0))
    }

    fn insert(&mut self, pair: Self) {
        self.0 |= pair.0;
    }

    fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The keys of the table are hashes under a secret key already: nobody outside
/// can choose them to collide.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        // Only numbers come; kept right for anything, should that change.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The standard library's table has a power of two of places, of which it fills
/// seven of eight, and of each a byte of its own.
fn table_size(capacity: usize) -> usize {
    if capacity == 0 {
        return 0;
    }
    let places = (capacity * 8).div_ceil(7).next_power_of_two();
    places * (size_of::<(u64, Pairs)>() + 1)
}

#[cfg(test)]
mod tests;
