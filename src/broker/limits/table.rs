//! The recent use of each network, in a table of fixed size.
//!
//! The table is divided into sets of eight slots; a bucket's hash determines its set. A
//! bucket that is not in the table replaces the one in its set that has been used least,
//! which is closest to full and loses least by being forgotten. However many addresses
//! send requests:
//!
//! - Nobody is refused because the table is full: a new bucket is full.
//! - Nobody over the limit can escape by filling the table from other addresses: each of
//!   these would have to use as much first.
//! - A slot whose bucket is full again is as good as free, so nothing needs to be cleaned
//!   up.
//!
//! Buckets are counted as in the generic cell rate algorithm: the only stored value is
//! the time at which a bucket will be full again. The governor crate does the same for
//! single keys, but it can neither take from several buckets all or nothing nor let a
//! bucket owe tokens.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The number of slots in a set: two cache lines.
const WAYS: usize = 8;

const NANOS_PER_MINUTE: u64 = 60_000_000_000;

/// A bounded table of buckets, keyed by hash.
pub(super) struct BucketTable(Mutex<BucketPlaces>);

/// The capacity of a bucket and its fill rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// Nanoseconds until there is one more token.
    token: u64,
    /// Nanoseconds until an empty bucket is full.
    depth: u64,
}

impl Quota {
    /// Creates a quota from tokens a minute and tokens at once, both multiplied by
    /// `factor`; `None` for a rate of 0.
    pub(super) fn new(per_minute: u32, burst: u32, factor: u32) -> Option<Self> {
        let [per_minute, burst, factor] = [per_minute, burst, factor].map(u64::from);
        let token = NANOS_PER_MINUTE.checked_div(per_minute * factor)?.max(1);
        let tokens = (burst * factor).max(1);
        Some(Self {
            token,
            depth: token.saturating_mul(tokens),
        })
    }
}

/// A bucket that a request takes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    pub(super) hash: u64,
    pub(super) quota: Quota,
}

/// For each slot, the hash and the time at which its bucket will be full again
/// ("theoretical arrival time"), in nanoseconds; 0 in a slot that was never used.
struct BucketPlaces {
    hashes: Vec<u64>,
    full_at: Vec<u64>,
}

impl BucketTable {
    /// Creates an empty table for this many buckets, rounded up to whole sets.
    pub(super) fn new(buckets: usize) -> Self {
        let places = buckets.max(1).next_multiple_of(WAYS);
        Self(Mutex::new(BucketPlaces {
            hashes: vec![0; places],
            full_at: vec![0; places],
        }))
    }

    /// Returns true if each bucket has a token at `now`, in nanoseconds.
    pub(super) fn has_room(&self, now: u64, draws: &[Draw]) -> bool {
        self.places().has_room(now, draws)
    }

    /// Takes a token from each bucket, or none if one of them is empty. Returns true if
    /// it took them.
    pub(super) fn take(&self, now: u64, draws: &[Draw]) -> bool {
        let mut places = self.places();
        let has_room = places.has_room(now, draws);
        if has_room {
            places.charge(now, draws, 1);
        }
        has_room
    }

    /// Takes `tokens` from each bucket. A bucket with fewer owes the rest, but never more
    /// than one such charge. If one of the buckets is empty, only the first, the
    /// narrowest, is charged: an address that continues over its limit takes nothing from
    /// its neighbors. Returns the number of buckets that are charged.
    pub(super) fn charge(&self, now: u64, draws: &[Draw], tokens: u64) -> usize {
        let mut places = self.places();
        let has_room = places.has_room(now, draws);
        let paying = if has_room { draws.len() } else { 1 };
        let paying = paying.min(draws.len());
        places.charge(now, &draws[..paying], tokens);
        paying
    }

    /// Gives back what each bucket was charged.
    pub(super) fn refund(&self, now: u64, draws: &[Draw], tokens: u64) {
        self.places().refund(now, draws, tokens);
    }

    /// The lock, even if a holder panicked: a step stores both halves of a slot or none.
    fn places(&self) -> MutexGuard<'_, BucketPlaces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BucketPlaces {
    fn has_room(&self, now: u64, draws: &[Draw]) -> bool {
        draws.iter().all(|draw| {
            let (_, full_at) = self.find(draw.hash);
            let full_at = full_at.unwrap_or_default().max(now);
            full_at + draw.quota.token <= now + draw.quota.depth
        })
    }

    fn charge(&mut self, now: u64, draws: &[Draw], tokens: u64) {
        for draw in draws {
            let (place, full_at) = self.find(draw.hash);
            let full_at = full_at.unwrap_or_default().max(now);
            let used = draw.quota.token.saturating_mul(tokens);
            self.hashes[place] = draw.hash;
            // Without the debt, the owner of an empty bucket would pay with each token as
            // it comes rather than with ten.
            self.full_at[place] = (full_at + used).min(now + draw.quota.depth + used);
        }
    }

    fn refund(&mut self, now: u64, draws: &[Draw], tokens: u64) {
        for draw in draws {
            // Nothing is owed to a bucket that is full, or of an earlier key.
            if let (place, Some(full_at)) = self.find(draw.hash) {
                let refunded = full_at.saturating_sub(draw.quota.token.saturating_mul(tokens));
                self.full_at[place] = full_at.min(refunded.max(now));
            }
        }
    }

    /// The slot of a hash with its content, or the slot that it may take.
    fn find(&self, hash: u64) -> (usize, Option<u64>) {
        let first = self.first_of_set(hash);
        let mut least = first;
        for place in first..first + WAYS {
            if self.hashes[place] == hash && self.full_at[place] > 0 {
                return (place, Some(self.full_at[place]));
            }
            if self.full_at[place] < self.full_at[least] {
                least = place;
            }
        }
        (least, None)
    }

    fn first_of_set(&self, hash: u64) -> usize {
        let sets = self.hashes.len() / WAYS;
        // The remainder is smaller than a usize.
        let set = hash % u64::try_from(sets).unwrap_or(u64::MAX);
        usize::try_from(set).unwrap_or_default() * WAYS
    }
}

#[cfg(test)]
mod tests;
