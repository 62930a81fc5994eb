//! The schedule of orders. Jitter is a parameter from 0 to 1.

use std::time::{Duration, SystemTime};

use crate::backoff::Backoff;
use crate::tls::certificate::Validity;

/// The delays after failed orders: at most as many failures as Let's Encrypt allows,
/// which is five at once and one more every 12 minutes.
pub const RETRIES: Backoff = Backoff::growing(Duration::from_secs(13), Duration::from_mins(80), 3);

/// The time at which a certificate's successor is ordered: when a third of its lifetime
/// is left, or up to a thirtieth earlier, to spread the renewals of certificates issued
/// at the same time.
pub fn renewal_time(validity: Validity, jitter: f64) -> SystemTime {
    let lifetime = validity
        .until
        .duration_since(validity.from)
        .unwrap_or_default();
    let left = lifetime / 3 + (lifetime / 30).mul_f64(jitter);
    validity.until.checked_sub(left).unwrap_or(validity.from)
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
        let delays: Vec<u64> = (1..9).map(|n| RETRIES.delay(n, 0.5).as_secs()).collect();
        assert_eq!(delays, [9, 29, 87, 263, 789, 2369, 3600, 3600]);
        assert_eq!(RETRIES.delay(u32::MAX, 0.0), Duration::from_mins(80));
        assert_eq!(RETRIES.delay(u32::MAX, 1.0), Duration::from_mins(40));
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
            now += RETRIES.delay(failures, 1.0).as_secs_f64();
        }
    }
}
