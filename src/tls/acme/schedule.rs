//! When to order. Chance comes in as a parameter, from 0 to 1.

use std::time::{Duration, SystemTime};

use crate::tls::Validity;

/// How long after the first failure an order is tried again.
const FIRST_RETRY: Duration = Duration::from_secs(10);
/// How much longer after each further one. With the first, no more failures
/// than Let's Encrypt allows: five at once, and one more every 12 minutes.
const RETRY_FACTOR: u32 = 3;
/// The longest wait.
const LAST_RETRY: Duration = Duration::from_hours(1);

/// When to order the successor of a certificate: a third of its lifetime before
/// its end, or, for not all who got theirs at the same time to come back at the
/// same time, up to a thirtieth earlier.
pub fn renewal_time(validity: Validity, chance: f64) -> SystemTime {
    let lifetime = validity.until.duration_since(validity.from);
    let lifetime = lifetime.unwrap_or_default();
    let left = lifetime / 3 + (lifetime / 30).mul_f64(chance);
    validity.until.checked_sub(left).unwrap_or(validity.from)
}

/// How long to wait after this many failures in a row, give or take a quarter.
pub fn retry_delay(failures: u32, chance: f64) -> Duration {
    let factor = RETRY_FACTOR.saturating_pow(failures.saturating_sub(1));
    let delay = FIRST_RETRY.saturating_mul(factor).min(LAST_RETRY);
    delay.mul_f64(0.75 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn renewal_is_a_third_before_the_end() {
        let from = SystemTime::UNIX_EPOCH + 1000 * DAY;
        let validity = Validity {
            from,
            until: from + 90 * DAY,
        };
        assert_eq!(renewal_time(validity, 0.0), from + 60 * DAY);
        assert_eq!(renewal_time(validity, 1.0), from + 57 * DAY);
    }

    #[test]
    fn a_certificate_that_ends_before_it_begins_is_renewed_at_once() {
        let validity = Validity {
            from: SystemTime::UNIX_EPOCH + DAY,
            until: SystemTime::UNIX_EPOCH,
        };
        assert_eq!(renewal_time(validity, 1.0), SystemTime::UNIX_EPOCH);
    }

    #[test]
    fn waits_become_longer_up_to_an_hour() {
        let delays: Vec<u64> = (1..9).map(|n| retry_delay(n, 0.5).as_secs()).collect();
        assert_eq!(delays, [10, 30, 90, 270, 810, 2430, 3600, 3600]);
        assert_eq!(retry_delay(u32::MAX, 0.0), Duration::from_mins(45));
        assert_eq!(retry_delay(u32::MAX, 1.0), Duration::from_mins(75));
    }

    #[test]
    fn failures_stay_within_what_lets_encrypt_allows() {
        // A bucket of five that gains one every 12 minutes, in seconds.
        let (mut now, mut tokens, mut last) = (0.0_f64, 5.0_f64, 0.0_f64);
        for failures in 1..50 {
            tokens = (tokens + (now - last) / 720.0).min(5.0);
            last = now;
            assert!(tokens >= 1.0, "attempt {failures} after {now} s");
            tokens -= 1.0;
            now += retry_delay(failures, 0.0).as_secs_f64();
        }
    }
}
