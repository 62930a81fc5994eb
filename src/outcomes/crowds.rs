//! The networks from which several clients come, so that the return of one says nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;

/// The half-life of the offers that one client could not have made.
const HALF_LIFE: Duration = Duration::from_mins(10);
/// The most such offers that count: with these, a network is a crowd for an hour.
const OFFERS_MAX: f64 = 32.0;
/// The number of them down to which a network is a crowd: after a single one for as long as
/// the half-life.
const CROWD_FROM: f64 = 0.5;
/// The time for which a table is the newer one. What is older has faded.
const GENERATION: Duration = Duration::from_hours(1);

/// The offers of a network that one client could not have made, of which the older ones count
/// less.
#[derive(Clone, Copy, Debug)]
struct SurplusOffers {
    count: f64,
    as_of: Instant,
}

/// The crowds, in two tables of which the older one is dropped when the newer one is full or
/// an hour old.
#[derive(Debug)]
pub(super) struct Crowds {
    since: Instant,
    max: usize,
    newer: HashMap<u64, SurplusOffers, FixedState>,
    older: HashMap<u64, SurplusOffers, FixedState>,
}

impl Crowds {
    /// Remembers at least half of `max` networks, and about `max` at most.
    pub(super) fn new(now: Instant, max: usize) -> Self {
        Self {
            since: now,
            max,
            newer: HashMap::default(),
            older: HashMap::default(),
        }
    }

    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max;
        self.make_room();
    }

    /// Forgets what has faded.
    pub(super) fn advance(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) >= GENERATION {
            self.since = now;
            self.older = std::mem::take(&mut self.newer);
        }
    }

    /// Counts an offer that shows several clients behind this number.
    pub(super) fn count(&mut self, now: Instant, id: u64) {
        self.advance(now);
        let before = self.surplus(now, id);
        self.older.remove(&id);
        let surplus = SurplusOffers {
            count: (before + 1.0).min(OFFERS_MAX),
            as_of: now,
        };
        self.newer.insert(id, surplus);
        self.make_room();
    }

    /// Returns true if several clients were behind this number of late.
    pub(super) fn contains(&self, now: Instant, id: u64) -> bool {
        self.surplus(now, id) >= CROWD_FROM
    }

    /// Knows a network again whose number was another before the key changed.
    pub(super) fn rename(&mut self, earlier: u64, id: u64) {
        for table in [&mut self.newer, &mut self.older] {
            let known = table.remove(&earlier);
            if let Some(surplus) = known {
                table.entry(id).or_insert(surplus);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }

    fn surplus(&self, now: Instant, id: u64) -> f64 {
        let newer = self.newer.get(&id);
        let known = newer.or_else(|| self.older.get(&id));
        known.map_or(0.0, |surplus| {
            let passed = now.saturating_duration_since(surplus.as_of);
            surplus.count * (-passed.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2()
        })
    }

    fn make_room(&mut self) {
        if self.newer.len() > self.max.div_ceil(2) {
            self.older = std::mem::take(&mut self.newer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::clock;

    fn crowd_of(offers: u32) -> (Instant, Crowds) {
        let now = clock::now();
        let mut crowds = Crowds::new(now, 100);
        for _ in 0..offers {
            crowds.count(now, 1);
        }
        (now, crowds)
    }

    #[test]
    fn the_more_offers_the_longer_a_network_is_a_crowd() {
        for (offers, minutes) in [(1, 10), (2, 20), (8, 40), (32, 60), (1_000, 60)] {
            let (start, crowds) = crowd_of(offers);
            let lifetime = Duration::from_mins(minutes);
            let [before, after] = [0.99, 1.01].map(|part| start + lifetime.mul_f64(part));
            assert!(crowds.contains(before, 1), "{offers}");
            assert!(!crowds.contains(after, 1), "{offers}");
            assert!(!crowds.contains(start, 2), "{offers}");
        }
    }

    #[test]
    fn a_crowd_is_known_in_the_next_generation_and_after_a_change_of_the_key() {
        let (start, mut crowds) = crowd_of(32);
        let later = start + Duration::from_mins(1);
        crowds.count(later, 1);
        crowds.count(start + GENERATION, 2);
        assert!(crowds.contains(start + GENERATION, 1));
        crowds.rename(1, 7);
        assert!(crowds.contains(start + GENERATION, 7));
        assert!(!crowds.contains(start + GENERATION, 1));
    }

    #[test]
    fn crowds_are_bounded() {
        let (now, mut crowds) = crowd_of(0);
        for id in 0..1_000 {
            crowds.count(now, id);
            assert!(crowds.contains(now, id));
            assert!(crowds.len() <= 102);
        }
        crowds.set_max(0);
        crowds.count(now, 1);
        assert!(crowds.len() <= 2);
    }
}
