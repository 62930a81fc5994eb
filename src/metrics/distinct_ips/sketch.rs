//! A `HyperLogLog` sketch: an estimate of the number of distinct addresses without the
//! addresses themselves.
//!
//! No existing crate gives the privacy needed here. All start from a 64-bit hash, and
//! while a sketch is small they keep 25 bits or more of it with the rank, which nearly
//! identifies one of the 2^32 IPv4 addresses. This sketch uses at most 26 bits in all, so
//! its rarest entry fits 64 IPv4 addresses and its most common 16,384. The estimator
//! accounts for ranks that are cut off, so this costs no accuracy below hundreds of
//! millions.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

use super::estimate::{Histogram, INDEX_BITS, MAX_RANK, RANK_BITS, REGISTERS, estimate};

/// A sparse sketch with more registers than this becomes dense. This is at half of the
/// dense sketch's memory, because insertion into a long list is slow.
const SPARSE_REGISTERS: usize = 8192;

/// Prefixes of a sketch's text, which name its form.
const SPARSE_PREFIX: &str = "s17.9:";
const DENSE_PREFIX: &str = "d17.9:";

/// The hash's key. It is public and constant so that sketches of different processes,
/// days and brokers can be merged.
const PUBLIC_KEY: &[u8; 16] = b"snowflake-broker";

/// A set of addresses that reveals only its approximate size.
///
/// Its text form, also used in JSON, is either `s17.9:` and the nonzero registers in
/// order, each as 16 × index + value in three bytes; or `d17.9:` and all registers, each
/// in half a byte, low half first. The bytes are in base64 without padding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sketch(Registers);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Registers {
    /// The nonzero registers, in order.
    Sparse(Vec<Entry>),
    /// All registers, two a byte.
    Dense(Box<[u8]>),
}

/// 16 × the register's index + its value.
type Entry = u32;

/// The error for a text that is not a sketch of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a sketch")]
pub struct InvalidSketch;

/// The bits of an address's hash that a sketch uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SketchHash(Entry);

impl SketchHash {
    pub(super) fn of(address: IpAddr) -> Self {
        let hasher = SipHasher24::new_with_key(PUBLIC_KEY);
        let hash = match address.to_canonical() {
            IpAddr::V4(address) => hasher.hash(&address.octets()),
            IpAddr::V6(address) => hasher.hash(&address.octets()),
        };
        Self::from_bits(hash)
    }

    fn from_bits(hash: u64) -> Self {
        let index = (hash >> (u64::BITS - INDEX_BITS)) as u32;
        let rank = (hash << INDEX_BITS).leading_zeros().min(RANK_BITS) + 1;
        Self(index << 4 | rank)
    }
}

impl Sketch {
    /// Creates an empty sketch.
    pub const fn new() -> Self {
        Self(Registers::Sparse(Vec::new()))
    }

    /// Adds an address; an IPv4-mapped address counts as IPv4.
    pub fn insert(&mut self, address: IpAddr) {
        self.insert_hash(SketchHash::of(address));
    }

    /// Merges the addresses of another sketch into this one.
    pub fn merge(&mut self, other: &Self) {
        for entry in other.entries() {
            self.insert_hash(SketchHash(entry));
        }
    }

    /// The approximate number of addresses.
    pub fn estimate(&self) -> u64 {
        let mut histogram: Histogram = [0; MAX_RANK + 1];
        let mut used = 0;
        for entry in self.entries() {
            histogram[rank_of(entry)] += 1;
            used += 1;
        }
        histogram[0] = REGISTERS - used;
        estimate(&histogram)
    }

    /// Bytes held on the heap.
    pub fn heap_size(&self) -> usize {
        match &self.0 {
            Registers::Sparse(entries) => entries.capacity() * size_of::<Entry>(),
            Registers::Dense(bytes) => bytes.len(),
        }
    }

    pub(super) fn insert_hash(&mut self, SketchHash(entry): SketchHash) {
        match &mut self.0 {
            Registers::Sparse(entries) => insert_sparse(entries, entry),
            Registers::Dense(bytes) => insert_dense(bytes, entry),
        }
        self.grow();
    }

    fn grow(&mut self) {
        let Registers::Sparse(entries) = &self.0 else {
            return;
        };
        if entries.len() <= SPARSE_REGISTERS {
            return;
        }
        let mut bytes = vec![0; REGISTERS / 2].into_boxed_slice();
        for entry in entries {
            insert_dense(&mut bytes, *entry);
        }
        self.0 = Registers::Dense(bytes);
    }

    /// The nonzero registers, in order.
    fn entries(&self) -> impl Iterator<Item = Entry> {
        let (sparse, dense): (&[Entry], &[u8]) = match &self.0 {
            Registers::Sparse(entries) => (entries, &[]),
            Registers::Dense(bytes) => (&[], bytes),
        };
        sparse.iter().copied().chain(dense_entries(dense))
    }
}

impl Default for Sketch {
    fn default() -> Self {
        Self::new()
    }
}

fn insert_sparse(entries: &mut Vec<Entry>, entry: Entry) {
    match entries.binary_search_by_key(&(entry >> 4), |other| other >> 4) {
        Ok(at) => entries[at] = entries[at].max(entry),
        Err(at) => entries.insert(at, entry),
    }
}

fn insert_dense(bytes: &mut [u8], entry: Entry) {
    let byte = &mut bytes[(entry >> 5) as usize];
    let shift = if entry >> 4 & 1 == 0 { 0 } else { 4 };
    // The rank is at most `MAX_RANK`, which fits in half a byte.
    let rank = (entry & 0xf) as u8;
    if *byte >> shift & 0xf < rank {
        *byte = *byte & !(0xf << shift) | rank << shift;
    }
}

fn dense_entries(bytes: &[u8]) -> impl Iterator<Item = Entry> {
    let ranks = bytes.iter().flat_map(|byte| [byte & 0xf, byte >> 4]);
    (0..)
        .zip(ranks)
        .filter(|(_, rank)| *rank != 0)
        .map(|(index, rank): (u32, u8)| index << 4 | u32::from(rank))
}

fn rank_of(entry: Entry) -> usize {
    (entry & 0xf) as usize
}

impl fmt::Display for Sketch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Registers::Sparse(entries) => {
                let three = |entry: &Entry| entry.to_be_bytes().into_iter().skip(1);
                let bytes: Vec<u8> = entries.iter().flat_map(three).collect();
                write!(formatter, "{SPARSE_PREFIX}{}", BASE64.encode(bytes))
            }
            Registers::Dense(bytes) => {
                write!(formatter, "{DENSE_PREFIX}{}", BASE64.encode(bytes))
            }
        }
    }
}

impl FromStr for Sketch {
    type Err = InvalidSketch;

    fn from_str(text: &str) -> Result<Self, InvalidSketch> {
        let decode = |base64| BASE64.decode(base64).map_err(|_| InvalidSketch);
        if let Some(base64) = text.strip_prefix(SPARSE_PREFIX) {
            return decode_sparse(&decode(base64)?);
        }
        if let Some(base64) = text.strip_prefix(DENSE_PREFIX) {
            return decode_dense(decode(base64)?);
        }
        Err(InvalidSketch)
    }
}

fn decode_sparse(bytes: &[u8]) -> Result<Sketch, InvalidSketch> {
    let (threes, []) = bytes.as_chunks::<3>() else {
        return Err(InvalidSketch);
    };
    let entry = |[high, middle, low]: &[u8; 3]| u32::from_be_bytes([0, *high, *middle, *low]);
    let entries: Vec<Entry> = threes.iter().map(entry).collect();
    let in_order = entries.is_sorted_by(|before, after| before >> 4 < after >> 4);
    let sound = |entry: &Entry| is_rank(rank_of(*entry)) && entry >> 4 < 1 << INDEX_BITS;
    if !in_order || !entries.iter().all(sound) {
        return Err(InvalidSketch);
    }
    let mut sketch = Sketch(Registers::Sparse(entries));
    sketch.grow();
    Ok(sketch)
}

fn decode_dense(bytes: Vec<u8>) -> Result<Sketch, InvalidSketch> {
    let sound =
        bytes.len() == REGISTERS / 2 && dense_entries(&bytes).all(|entry| is_rank(rank_of(entry)));
    if !sound {
        return Err(InvalidSketch);
    }
    Ok(Sketch(Registers::Dense(bytes.into())))
}

fn is_rank(rank: usize) -> bool {
    (1..=MAX_RANK).contains(&rank)
}

impl From<Sketch> for String {
    fn from(sketch: Sketch) -> Self {
        sketch.to_string()
    }
}

impl TryFrom<String> for Sketch {
    type Error = InvalidSketch;

    fn try_from(text: String) -> Result<Self, InvalidSketch> {
        text.parse()
    }
}

#[cfg(test)]
mod tests;
