//! How long to wait after a failure. Chance comes in as a parameter.

use std::time::Duration;

/// The wait after the first failure.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait: messages of clients are worth nothing after some seconds, so
/// an outage must not be drawn out by much.
const LONGEST: Duration = Duration::from_secs(8);

/// How long to wait after so many failures in a row, give or take a half, by a
/// chance from 0 to 1.
pub(super) fn wait(failures: u32, chance: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let wait = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    wait.mul_f64(0.5 + chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_some_seconds() {
        let millis: Vec<u128> = (1..8).map(|n| wait(n, 0.5).as_millis()).collect();
        assert_eq!(millis, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        assert_eq!(wait(u32::MAX, 0.0), LONGEST / 2);
        assert_eq!(wait(u32::MAX, 1.0), LONGEST * 3 / 2);
    }
}
