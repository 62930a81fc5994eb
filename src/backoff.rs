//! Delays between attempts at an operation that keeps failing. Pure: the jitter is a
//! parameter.
//!
//! Each failure in a row multiplies the delay by a factor, up to a longest delay. Up to
//! half of each delay is then removed at random, so that clients that failed at the same
//! time do not return at the same time. This is the "equal jitter" of Marc Brooker's
//! "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015). Unlike "full jitter"
//! it has a shortest delay, which can be compared with a server's rate limit, and it
//! never exceeds the longest delay.

use std::time::Duration;

/// Exponential backoff with equal jitter. The caller counts the failures.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    factor: u32,
}

impl Backoff {
    /// Creates delays that double from `first` up to `longest`.
    pub const fn doubling(first: Duration, longest: Duration) -> Self {
        Self::growing(first, longest, 2)
    }

    /// Creates delays that each failure multiplies by `factor`.
    pub const fn growing(first: Duration, longest: Duration, factor: u32) -> Self {
        Self {
            first,
            longest,
            factor,
        }
    }

    /// The delay after this many failures in a row. A `jitter` of 0 keeps the whole
    /// delay, a `jitter` of 1 keeps half of it.
    pub fn delay(self, failures: u32, jitter: f64) -> Duration {
        let growth = self.factor.saturating_pow(failures.saturating_sub(1));
        let whole = self.first.saturating_mul(growth).min(self.longest);
        whole.mul_f64(1.0 - jitter / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delays_grow_up_to_the_longest_and_jitter_takes_half_at_most() {
        let doubling = Backoff::doubling(Duration::from_millis(100), Duration::from_secs(1));
        let delays = [1, 2, 3, 4, 5, 6, u32::MAX].map(|n| doubling.delay(n, 0.0).as_millis());
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000, 1000]);
        let jittered = [0.0, 0.5, 1.0].map(|jitter| doubling.delay(5, jitter).as_millis());
        assert_eq!(jittered, [1000, 750, 500]);
        let tripling = Backoff::growing(Duration::from_secs(10), Duration::from_hours(1), 3);
        let delays = [0, 1, 2, 3, 7].map(|n| tripling.delay(n, 0.0).as_secs());
        assert_eq!(delays, [10, 10, 30, 90, 3600]);
    }

    proptest! {
        #[test]
        fn delays_never_shrink_and_stay_within_half_and_all_of_the_longest(
            first in 1_u64..100_000,
            times in 1_u64..1_000,
            factor in 1_u32..10,
            failures: u32,
            jitter in 0.0..=1.0,
        ) {
            let (first, longest) = (Duration::from_millis(first), Duration::from_millis(first * times));
            let backoff = Backoff::growing(first, longest, factor);
            let whole = backoff.delay(failures, 0.0);
            prop_assert!(first <= whole && whole <= longest);
            prop_assert!(whole <= backoff.delay(failures.saturating_add(1), 0.0));
            let delay = backoff.delay(failures, jitter);
            prop_assert!(whole / 2 <= delay && delay <= whole);
            prop_assert_eq!(backoff.delay(u32::MAX, 0.0) == longest, factor > 1 || times == 1);
        }
    }
}
