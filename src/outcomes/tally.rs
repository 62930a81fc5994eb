//! Numbers of matches that worked and that failed, of which the older ones count less.

use std::time::{Duration, Instant};

/// The matches of one kind. A match that is as old as the half-life counts half.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FadingTally {
    worked: f64,
    failed: f64,
    as_of: Instant,
}

impl FadingTally {
    pub(super) fn new(now: Instant, worked: f64, failed: f64) -> Self {
        Self {
            worked,
            failed,
            as_of: now,
        }
    }

    /// Adds a match. A negative weight takes back what was added before, as far as it is left.
    pub(super) fn add(&mut self, now: Instant, half_life: Duration, has_worked: bool, weight: f64) {
        *self = self.at(now, half_life);
        let count = if has_worked {
            &mut self.worked
        } else {
            &mut self.failed
        };
        *count = (*count + weight).max(0.0);
    }

    /// The same at a later time.
    pub(super) fn at(&self, now: Instant, half_life: Duration) -> Self {
        let passed = now.saturating_duration_since(self.as_of);
        let left = (-passed.as_secs_f64() / half_life.as_secs_f64()).exp2();
        Self::new(now.max(self.as_of), self.worked * left, self.failed * left)
    }

    /// Lets no more than `most` matches count, so that news are not outweighed by the past.
    pub(super) fn limit(&mut self, most: f64) {
        let left = most / self.count().max(most);
        self.worked *= left;
        self.failed *= left;
    }

    pub(super) fn count(&self) -> f64 {
        self.worked + self.failed
    }

    pub(super) fn worked(&self) -> f64 {
        self.worked
    }

    pub(super) fn failed(&self) -> f64 {
        self.failed
    }

    /// The share (0 to 1) of matches that worked, if `weight` more matches with the share
    /// `prior` are counted.
    pub(super) fn share(&self, prior: f64, weight: f64) -> f64 {
        (self.worked + prior * weight) / (self.count() + weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::clock;

    const HALF_LIFE: Duration = Duration::from_hours(1);

    #[test]
    fn matches_count_half_after_the_half_life() {
        let now = clock::now();
        let mut tally = FadingTally::new(now, 4.0, 0.0);
        tally.add(now + HALF_LIFE, HALF_LIFE, false, 1.0);
        assert_eq!((tally.worked(), tally.failed()), (2.0, 1.0));
        assert!(tally.at(now + 40 * HALF_LIFE, HALF_LIFE).count() < 1e-9);
    }

    #[test]
    fn no_more_is_taken_back_than_is_left() {
        let now = clock::now();
        let mut tally = FadingTally::new(now, 1.0, 0.5);
        tally.add(now, HALF_LIFE, false, -0.75);
        assert_eq!((tally.worked(), tally.failed()), (1.0, 0.0));
    }

    #[test]
    fn a_share_begins_with_its_prior() {
        let mut tally = FadingTally::new(clock::now(), 0.0, 0.0);
        assert!((tally.share(0.5, 2.0) - 0.5).abs() < 1e-9);
        tally.add(clock::now(), HALF_LIFE, true, 2.0);
        assert!((tally.share(0.5, 2.0) - 0.75).abs() < 1e-6);
    }

    #[test]
    fn a_limit_keeps_the_share() {
        let mut tally = FadingTally::new(clock::now(), 30.0, 10.0);
        tally.limit(8.0);
        assert_eq!((tally.worked(), tally.failed()), (6.0, 2.0));
        tally.limit(10.0);
        assert_eq!((tally.worked(), tally.failed()), (6.0, 2.0));
    }
}
