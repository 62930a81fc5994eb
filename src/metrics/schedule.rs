//! When a period is over, by the calendar's clock: one that goes on after a
//! restart, and that may be set.

use std::time::{Duration, SystemTime};

/// How much is left of a period that began at `start`; zero when it is over.
///
/// When the clock was set back to before the start, the period is taken to
/// begin `now`: it would not end until the clock is there again, which may be
/// years.
pub fn remaining(start: &mut SystemTime, length: Duration, now: SystemTime) -> Duration {
    let passed = now.duration_since(*start).unwrap_or_else(|_set_back| {
        *start = now;
        Duration::ZERO
    });
    length.saturating_sub(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const MINUTE: Duration = Duration::from_mins(1);

    fn start() -> SystemTime {
        SystemTime::UNIX_EPOCH + 100 * HOUR
    }

    #[test]
    fn a_period_is_over_when_its_length_has_passed() {
        for (passed, left) in [
            (Duration::ZERO, HOUR),
            (MINUTE, 59 * MINUTE),
            (HOUR, Duration::ZERO),
            (30 * HOUR, Duration::ZERO),
        ] {
            let mut period = start();
            assert_eq!(remaining(&mut period, HOUR, start() + passed), left);
            assert_eq!(period, start());
        }
    }

    #[test]
    fn a_clock_that_is_set_back_starts_it_anew() {
        let mut period = start();
        let now = start() - 50 * HOUR;
        assert_eq!(remaining(&mut period, HOUR, now), HOUR);
        assert_eq!(remaining(&mut period, HOUR, now + MINUTE), 59 * MINUTE);
    }
}
