//! Counts of distinct proxy addresses in a window, by country, type and NAT. No address
//! is kept.
//!
//! # What is stored, and what it reveals
//!
//! **In memory**: a 64-bit hash of each address, with the types and NATs that the address
//! came with. The hash's key is random, new for each window and never written to disk. An
//! attacker with the memory has the key and can test whether an address was seen; an
//! attacker with only the disk cannot. Counts from memory are exact.
//!
//! **On disk**, so that a window survives a restart: a count and a [`Sketch`] for each
//! label. An address seen both before and after the restart must be counted once, so the
//! sketches' hash must stay the same. A secret key would have to be on disk beside them,
//! where it protects nothing: all 2^32 IPv4 addresses are quickly tried. So the hash is
//! public, which also allows sketches to be merged. What protects the addresses is that a
//! sketch uses only 26 bits of the hash, and that many addresses share them:
//!
//! - In the sketches of all addresses, of a type or of a NAT, 2^32 addresses share 2^26
//!   patterns. A sketch of 150,000 addresses takes half of all existing addresses for
//!   members: it can show that an address was *not* seen, but hardly that it was. Its
//!   rarest entries each fit 64 IPv4 addresses, and each entry of a small sketch fits
//!   thousands.
//! - In the sketch of a country only that country's addresses are candidates. If there
//!   are fewer than about 250,000, hardly two of them share a pattern, and the sketch is
//!   as good as a list. No sketch can avoid this: counting a small set to within 1 %
//!   requires telling its members apart.
//!
//! The saved state must therefore not be published, must be readable by the broker only,
//! and must be deleted when its window ends. It contains proxies only, never clients, and
//! a censor learns proxies' addresses faster by polling for them as a client.
//!
//! # Accuracy
//!
//! Counts are exact without a restart. After a restart the counts so far stay exact, and
//! later addresses are estimated with a standard error below 0.29 %.

mod estimate;
mod merging;
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
use crate::wire::proxy::{ProxyType, ProxyTypes, TYPES_MAX};
use sketch::SketchHash;
pub use sketch::{InvalidSketch, Sketch};
use tally::{SavedTally, Tally};

/// The key of a window's hashes: 128 random bits from the caller. `Debug` does not show
/// it, and it is never written anywhere.
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
    /// All addresses.
    pub total: u64,
    /// By the country that an address was in when it was first seen.
    pub by_country: BTreeMap<CountryCode, u64>,
    /// An address seen with two types counts for both.
    pub by_type: BTreeMap<ProxyType, u64>,
    /// An address seen with two NATs counts for both.
    pub by_nat: BTreeMap<NatType, u64>,
}

/// The addresses of one window.
#[derive(Debug)]
pub struct DistinctIps {
    key: WindowKey,
    limit: usize,
    /// The types and NATs of each address, by the address's hash.
    seen: HashMap<u64, Labels, BuildHasherDefault<Hashed>>,
    /// The types seen, by their number in [`Labels`].
    types: Vec<ProxyType>,
    tallies: Tallies,
}

/// A window's addresses as saved. Deserialization validates them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedIps {
    total: SavedTally,
    by_country: BTreeMap<CountryCode, SavedTally>,
    /// By name: the next process may tell other types apart.
    by_type: BTreeMap<String, SavedTally>,
    #[serde(with = "labels")]
    by_nat: BTreeMap<NatType, SavedTally>,
}

#[derive(Debug, Default)]
struct Tallies {
    total: Tally,
    by_country: BTreeMap<CountryCode, Tally>,
    by_type: BTreeMap<ProxyType, Tally>,
    by_nat: BTreeMap<NatType, Tally>,
    /// True once an address that is not in the table may nevertheless have been counted.
    uncertain: bool,
}

impl DistinctIps {
    /// The capacity of a table of 36 MB: eight times the addresses of the largest
    /// Snowflake broker's busiest day.
    pub const DEFAULT_LIMIT: usize = (1 << 21) / 8 * 7;

    /// Creates a window without addresses. Beyond `limit` addresses only the sketches are
    /// updated, which bounds memory.
    pub fn new(key: WindowKey, limit: usize) -> Self {
        Self {
            key,
            limit,
            seen: HashMap::default(),
            types: Vec::new(),
            tallies: Tallies::default(),
        }
    }

    /// Continues a window after a restart, under a new key. Numbers of a type that is no
    /// longer told apart are dropped.
    pub fn restore(key: WindowKey, limit: usize, saved: SavedIps, types: &ProxyTypes) -> Self {
        Self {
            tallies: Tallies::restored(saved, types),
            ..Self::new(key, limit)
        }
    }

    /// Counts a proxy's address; an IPv4-mapped address counts as IPv4. Returns true if
    /// the address is new, whatever its type and NAT, as far as is known: never beyond
    /// the limit, and once more after a restart.
    pub fn record(
        &mut self,
        address: IpAddr,
        country: CountryCode,
        proxy_type: ProxyType,
        nat: NatType,
    ) -> bool {
        let address = address.to_canonical();
        let of_type = Labels::of_type(self.number_of(proxy_type));
        let of_nat = Labels::of_nat(nat);
        let before = self.enter(address, of_type.with(of_nat));
        let known = before.unwrap_or_default();
        let (knows_type, knows_nat) = (known.intersects(of_type), known.intersects(of_nat));
        if knows_type && knows_nat {
            return false;
        }
        let hash = SketchHash::of(address);
        let is_unknown = known == Labels::default();
        if is_unknown {
            self.tallies.add_new(hash, country);
        }
        if !knows_type {
            self.tallies.add_to_type(hash, proxy_type);
        }
        if !knows_nat {
            self.tallies.add_to_nat(hash, nat);
        }
        is_unknown && before.is_some()
    }

    /// The counts so far. Takes some milliseconds once they are estimates.
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
            by_type: named(&self.tallies.by_type),
            by_nat: map(&self.tallies.by_nat, Tally::save),
        }
    }

    /// Bytes held on the heap, without the tree nodes of the sketches.
    pub fn heap_size(&self) -> usize {
        let sketches: usize = self.tallies.all().map(Tally::heap_size).sum();
        table_size(self.seen.capacity()) + sketches
    }

    fn number_of(&mut self, proxy_type: ProxyType) -> usize {
        let number = self.types.iter().position(|known| *known == proxy_type);
        number.unwrap_or_else(|| {
            self.types.push(proxy_type);
            self.types.len() - 1
        })
    }

    /// Enters an address in the table. Returns its previous labels, which are empty for a
    /// new address, or `None` if the address is not in the table and the table is full.
    fn enter(&mut self, address: IpAddr, labels: Labels) -> Option<Labels> {
        let hash = self.hash(address);
        if let Some(known) = self.seen.get_mut(&hash) {
            let before = *known;
            *known = before.with(labels);
            return Some(before);
        }
        if self.seen.len() >= self.limit {
            self.tallies.end_exact_counts();
            return None;
        }
        self.seen.insert(hash, labels);
        Some(Labels::default())
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

impl Tallies {
    fn restored(saved: SavedIps, types: &ProxyTypes) -> Self {
        let by_type = saved.by_type.into_iter();
        let known = by_type.filter_map(|(name, tally)| Some((types.named(&name)?, tally)));
        Self {
            total: saved.total.into(),
            by_country: restored(saved.by_country),
            by_type: restored(known),
            by_nat: restored(saved.by_nat),
            // Addresses from before the restart are missing in the new table; the tallies
            // that were saved count by sketch for that reason. A label first seen after
            // the restart has no earlier addresses and can be counted exactly.
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

fn named(tallies: &BTreeMap<ProxyType, Tally>) -> BTreeMap<String, SavedTally> {
    let entry = |(known, tally): (&ProxyType, &Tally)| (known.to_string(), tally.save());
    tallies.iter().map(entry).collect()
}

fn restored<L: Ord>(saved: impl IntoIterator<Item = (L, SavedTally)>) -> BTreeMap<L, Tally> {
    saved
        .into_iter()
        .map(|(label, tally)| (label, tally.into()))
        .collect()
}

/// A set of types and NATs, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Labels(u32);

/// Room for the types and the unknown one, beside the NATs.
const _: () = assert!(NatType::ALL.len() + TYPES_MAX < u32::BITS as usize);

impl Labels {
    fn of_nat(nat: NatType) -> Self {
        Self(1 << nat as u32)
    }

    fn of_type(number: usize) -> Self {
        Self(1 << (NatType::ALL.len() + number.min(TYPES_MAX)))
    }

    fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A hasher that passes the table's keys through. They are hashes under a secret key
/// already, so nobody can choose colliding ones.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        // Only `write_u64` is used; correct for other input in case that changes.
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

/// The size of a standard library's table: a power of two of slots, seven eighths of
/// which are used, and one control byte for each.
fn table_size(capacity: usize) -> usize {
    if capacity == 0 {
        return 0;
    }
    let places = (capacity * 8).div_ceil(7).next_power_of_two();
    places * (size_of::<(u64, Labels)>() + 1)
}

#[cfg(test)]
mod tests;
