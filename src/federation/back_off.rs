//! After how long something is tried again that has failed.

use std::time::Duration;

/// Waits that double from one failure to the next, up to a longest one. Chance
/// takes up to half of each away, so that brokers do not all come at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct BackOff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl BackOff {
    pub(super) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// The wait after one more failure, by a chance from 0 to 1.
    pub(super) fn next(&mut self, chance: f64) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        let wait = self.first.saturating_mul(factor).min(self.longest);
        wait.mul_f64(1.0 - chance / 2.0)
    }

    /// It went well: the next failure is the first.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_chance_takes_half_at_most() {
        let mut back_off = BackOff::new(Duration::from_millis(100), Duration::from_secs(1));
        let mut wait = |chance| back_off.next(chance).as_millis();
        assert_eq!([0.0; 6].map(&mut wait), [100, 200, 400, 800, 1000, 1000]);
        assert_eq!([0.5, 1.0].map(&mut wait), [750, 500]);
        assert_eq!(back_off.next(0.0).as_millis(), 1000);
        back_off.reset();
        assert_eq!(back_off.next(0.0).as_millis(), 100);
    }

    #[test]
    fn any_number_of_failures_is_survived() {
        let mut back_off = BackOff::new(Duration::from_secs(1), Duration::from_secs(30));
        for _ in 0..100 {
            assert!(back_off.next(1.0) <= Duration::from_secs(30));
        }
    }
}
