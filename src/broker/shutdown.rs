//! The intervals after which proxies poll a broker's successor.

use std::time::Duration;

/// The minimum time until a proxy returns that polled a broker which is shutting down.
const COMES_BACK_AFTER: Duration = Duration::from_secs(1);
/// The time over which the return of proxies that were not parked is spread.
const SPREAD: Duration = Duration::from_secs(2);

/// The time after which a proxy that was not parked polls the successor; `jitter` is a
/// random number from 0 to 1. The proxy then waits there instead of here.
pub(super) fn reconnect_delay_new(jitter: f64) -> Duration {
    COMES_BACK_AFTER + SPREAD.mul_f64(jitter)
}

/// The same for a proxy that was parked. If all parked proxies returned soon, they would
/// all be away again at the same time.
pub(super) fn reconnect_delay_parked(usual: Duration, jitter: f64) -> Duration {
    let spread = usual.saturating_sub(COMES_BACK_AFTER).max(SPREAD);
    COMES_BACK_AFTER + spread.mul_f64(jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_not_parked_comes_back_within_three_seconds() {
        let millis = |jitter| reconnect_delay_new(jitter).as_millis();
        assert_eq!([0.0, 0.5, 1.0].map(millis), [1000, 2000, 3000]);
    }

    #[test]
    fn who_was_parked_comes_back_within_the_usual_interval() {
        let seconds =
            |usual, jitter| reconnect_delay_parked(Duration::from_secs(usual), jitter).as_secs();
        assert_eq!(
            [0.0, 0.5, 1.0].map(|jitter| seconds(21, jitter)),
            [1, 11, 21]
        );
        assert_eq!([0.0, 0.5, 1.0].map(|jitter| seconds(1, jitter)), [1, 2, 3]);
    }
}
