//! Delays of responses to callers with invalid credentials. The delay grows with each
//! refusal, so that guessing is slow, and a misconfigured program is no burden.
//!
//! Delays are kept by network, like [`slots`](crate::listener::slots). Only refused calls
//! are delayed: other callers from the same address get their responses at once. A network
//! is forgotten a minute after its last refusal, and the number of known networks is
//! bounded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::backoff::Backoff;

/// The delay after the first refusal.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The maximum delay: shorter than most callers' time-outs.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Without jitter: callers arrive at random times anyway, and the last to arrive must not
/// be served first.
const PAUSES: Backoff = Backoff::doubling(FIRST_PAUSE, LONGEST_PAUSE);
/// The time without a refusal after which a network is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(1);
/// The maximum number of known networks. When full, those that were quiet longest are
/// forgotten first.
const NETWORKS_MAX: usize = 1_024;

/// Recent refusals by the hash of the network.
#[derive(Debug, Default)]
pub(super) struct SlowDown(Mutex<HashMap<u64, Refusals>>);

#[derive(Clone, Copy, Debug)]
struct Refusals {
    count: u32,
    last: Instant,
}

impl SlowDown {
    /// Counts a refusal and returns its delay.
    pub(super) fn refused(&self, network: u64, now: Instant) -> Duration {
        // The table is consistent even if a thread panicked while holding the lock.
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|_, of| now.saturating_duration_since(of.last) < FORGOTTEN_AFTER);
        if table.len() >= NETWORKS_MAX && !table.contains_key(&network) {
            let quietest = table.iter().min_by_key(|(_, of)| of.last);
            if let Some(quietest) = quietest.map(|(&network, _)| network) {
                table.remove(&quietest);
            }
        }
        let of_network = table.entry(network).or_insert(Refusals {
            count: 0,
            last: now,
        });
        of_network.count = of_network.count.saturating_add(1);
        of_network.last = now;
        PAUSES.delay(of_network.count, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::clock;

    #[test]
    fn each_refusal_of_a_network_waits_longer_than_the_one_before() {
        let slow_down = SlowDown::default();
        let now = clock::now();
        let pauses: Vec<u128> = (0..8)
            .map(|_| slow_down.refused(1, now).as_millis())
            .collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(slow_down.refused(2, now), FIRST_PAUSE);
        assert_eq!(
            slow_down.refused(1, now + FORGOTTEN_AFTER),
            FIRST_PAUSE,
            "it is forgotten"
        );
    }

    #[test]
    fn any_number_of_refusals_is_survived() {
        let slow_down = SlowDown::default();
        let now = clock::now();
        for _ in 0..100 {
            assert!(slow_down.refused(1, now) <= LONGEST_PAUSE);
        }
    }

    #[test]
    fn of_many_networks_the_quietest_are_forgotten() {
        let slow_down = SlowDown::default();
        let began = clock::now();
        let mut now = began;
        for network in 0..u64::try_from(NETWORKS_MAX).unwrap() + 100 {
            now += Duration::from_millis(1);
            slow_down.refused(network, now);
            slow_down.refused(u64::MAX, now);
        }
        assert_eq!(slow_down.0.lock().unwrap().len(), NETWORKS_MAX);
        assert_eq!(slow_down.refused(u64::MAX, now), LONGEST_PAUSE);
        assert_eq!(slow_down.refused(0, now), FIRST_PAUSE);
    }
}
