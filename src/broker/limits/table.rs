//! The use of each network, in memory that does not grow.
//!
//! The table is cut into sets of eight places, and the hash of a bucket says in
//! which set it may be. One that is not there takes the place of the one that
//! has used the least, which is nearest to full and loses least by being
//! forgotten. So, whatever comes from however many addresses:
//!
//! - nobody is refused for want of a place: a new bucket is full;
//! - nobody who is over the limit gets free by filling the table from other
//!   addresses: each of these would have to use as much first;
//! - a place whose bucket is full again is as good as free: nothing has to be
//!   swept out.
//!
//! The buckets are counted as in the generic cell rate algorithm: all that is kept
//! of one is when it will be full again. governor does the same for one key at a
//! time; it can neither take from several at once or from none, nor let a bucket owe
//! something.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The places that one bucket can be in: two cache lines' worth.
const WAYS: usize = 8;

const NANOS_PER_MINUTE: u64 = 60_000_000_000;

/// A bounded table of buckets, by their hashes.
pub(super) struct BucketTable(Mutex<BucketPlaces>);

/// The capacity of a bucket, and the rate at which it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// After how many nanoseconds there is one more token.
    token: u64,
    /// After how many nanoseconds an empty bucket is full.
    depth: u64,
}

impl Quota {
    /// So many tokens a minute, and at once, and that as many times over as the
    /// factor says; `None` for a rate of 0.
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

/// One bucket that a request takes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    pub(super) hash: u64,
    pub(super) quota: Quota,
}

/// Place by place: the hash, and when its bucket will be full again ("theoretical
/// arrival time"), in nanoseconds; 0 in a place that was never taken.
struct BucketPlaces {
    hashes: Vec<u64>,
    full_at: Vec<u64>,
}

impl BucketTable {
    /// An empty table for so many buckets, rounded up to whole sets.
    pub(super) fn new(buckets: usize) -> Self {
        let places = buckets.max(1).next_multiple_of(WAYS);
        Self(Mutex::new(BucketPlaces {
            hashes: vec![0; places],
            full_at: vec![0; places],
        }))
    }

    /// Returns true if each of the buckets has a token, at `now` in nanoseconds.
    pub(super) fn has_room(&self, now: u64, draws: &[Draw]) -> bool {
        self.places().has_room(now, draws)
    }

    /// Takes a token from each of the buckets, or none if one has none; whether it
    /// did.
    pub(super) fn take(&self, now: u64, draws: &[Draw]) -> bool {
        let mut places = self.places();
        let has_room = places.has_room(now, draws);
        if has_room {
            places.charge(now, draws, 1);
        }
        has_room
    }

    /// Takes so many tokens from each of the buckets; one that has fewer owes them
    /// then, but never more than one such charge. If there is none in one of them,
    /// only the first bucket pays, the narrowest: who goes on over the limit takes
    /// nothing from its neighbours.
    pub(super) fn charge(&self, now: u64, draws: &[Draw], tokens: u64) {
        let mut places = self.places();
        let has_room = places.has_room(now, draws);
        let paying = if has_room { draws.len() } else { 1 };
        places.charge(now, &draws[..paying.min(draws.len())], tokens);
    }

    /// A step either stores both halves of a place or none.
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
            // Without the debt whoever has an empty bucket would pay with each token
            // that comes, and not with ten.
            self.full_at[place] = (full_at + used).min(now + draw.quota.depth + used);
        }
    }

    /// The place of this hash with what is in it, or the place that it may take.
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
