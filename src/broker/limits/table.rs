//! How much each address has used, in memory that does not grow.
//!
//! The table is cut into sets of eight places, and an address's hash says in
//! which set it may be. One that is not there takes the place of the one that
//! has used the least, whose bucket is nearest to full and loses least by being
//! forgotten. So, whatever comes from however many addresses:
//!
//! - nobody is refused for want of a place: a new address has a full bucket;
//! - nobody who is over the limit gets free by filling the table from other
//!   addresses: each of these would have to use as much first;
//! - a place whose bucket is full again is as good as free: nothing has to be
//!   swept out.

use std::sync::{Mutex, MutexGuard, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;

/// Places that one address can be in: two cache lines' worth.
const WAYS: usize = 8;

/// A bounded table of buckets, by the hash of an address.
pub(super) struct Table(Mutex<Places>);

/// Place by place: the hash, and when its bucket will be full again ("theoretical
/// arrival time" in GCRA), in nanoseconds; 0 in a place that was never taken.
struct Places {
    hashes: Vec<u64>,
    full_at: Vec<u64>,
}

impl Table {
    /// An empty table for so many addresses, rounded up to whole sets.
    pub(super) fn new(addresses: usize) -> Self {
        let places = addresses.max(1).next_multiple_of(WAYS);
        Self(Mutex::new(Places {
            hashes: vec![0; places],
            full_at: vec![0; places],
        }))
    }

    /// A step either stores both halves of a place or none.
    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for Table {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, hash: &u64, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut places = self.places();
        let (place, full_at) = places.find(*hash);
        let (outcome, full_at) = measure(full_at.map(Nanos::from))?;
        places.hashes[place] = *hash;
        places.full_at[place] = full_at.as_u64();
        Ok(outcome)
    }
}

impl Places {
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
