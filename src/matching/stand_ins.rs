//! The sources that have served a pool of late, and could stand in for one that rests.

use std::time::{Duration, Instant};

use crate::wire::nat::NatClass;

/// The time for which who has served a pool counts.
const COUNTS_FOR: Duration = Duration::from_mins(1);

/// Of each pool the last source that served it, and the last other one.
#[derive(Debug, Default)]
pub(super) struct StandIns([[Option<Served>; 2]; NatClass::ALL.len()]);

/// A source that has served a pool, if it is known, and the time until which that counts.
#[derive(Clone, Copy, Debug)]
struct Served {
    by: Option<u64>,
    until: Instant,
}

impl StandIns {
    /// Notes who has served a pool.
    pub(super) fn note(&mut self, now: Instant, pool: NatClass, by: Option<u64>) {
        let [last, other] = &mut self.0[pool as usize];
        if last.is_some_and(|last| last.by != by) {
            *other = *last;
        }
        let until = now + COUNTS_FOR;
        *last = Some(Served { by, until });
    }

    /// Returns true if another source than this one serves the pool.
    pub(super) fn has_another(&self, now: Instant, pool: NatClass, source: u64) -> bool {
        let served = self.0[pool as usize].iter().flatten();
        let mut others = served.filter(|served| served.by != Some(source));
        others.any(|served| now < served.until)
    }
}
