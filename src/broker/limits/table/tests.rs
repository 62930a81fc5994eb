use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::FakeRelativeClock;
use governor::{Quota, RateLimiter};
use proptest::prelude::*;

use super::*;

const PERIOD: u64 = 1_000;

type Limiter = RateLimiter<u64, Table, FakeRelativeClock>;

fn limiter(addresses: usize, burst: u32) -> (Limiter, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    let quota = Quota::with_period(Duration::from_nanos(PERIOD)).unwrap();
    let quota = quota.allow_burst(NonZeroU32::new(burst).unwrap());
    let limiter = RateLimiter::new(quota, Table::new(addresses), clock.clone());
    (limiter, clock)
}

/// Token buckets as one would write them down, of which none is forgotten; in
/// nanoseconds of refilling.
struct Naive {
    burst: u64,
    levels: HashMap<u64, (u64, u64)>,
}

impl Naive {
    fn admits(&mut self, hash: u64, now: u64) -> bool {
        let whole = self.burst * PERIOD;
        let (level, since) = self.levels.entry(hash).or_insert((whole, now));
        *level = whole.min(*level + (now - *since));
        *since = now;
        let has_token = *level >= PERIOD;
        if has_token {
            *level -= PERIOD;
        }
        has_token
    }
}

proptest! {
    #[test]
    fn with_room_for_all_it_is_a_token_bucket_for_each(
        burst in 1..5u32,
        requests in prop::collection::vec((0..8u64, 0..3 * PERIOD), 1..300),
    ) {
        let (limiter, clock) = limiter(8, burst);
        let mut naive = Naive { burst: burst.into(), levels: HashMap::new() };
        let mut now = 0;
        for (hash, pause) in requests {
            now += pause;
            clock.advance(Duration::from_nanos(pause));
            prop_assert_eq!(limiter.check_key(&hash).is_ok(), naive.admits(hash, now));
        }
    }

    #[test]
    fn too_many_addresses_are_forgiven_never_refused_more(
        burst in 1..5u32,
        requests in prop::collection::vec((0..40u64, 0..PERIOD), 1..600),
    ) {
        let (limiter, clock) = limiter(8, burst);
        let mut naive = Naive { burst: burst.into(), levels: HashMap::new() };
        let mut admitted: HashMap<u64, (u32, u32)> = HashMap::new();
        let mut now = 0;
        for (hash, pause) in requests {
            now += pause;
            clock.advance(Duration::from_nanos(pause));
            let (ours, naives) = admitted.entry(hash).or_default();
            *ours += u32::from(limiter.check_key(&hash).is_ok());
            *naives += u32::from(naive.admits(hash, now));
            prop_assert!(ours >= naives);
        }
    }

    #[test]
    fn who_is_over_the_limit_stays_so_however_many_others_come(
        others in prop::collection::vec(1..u64::MAX, 1..2_000),
    ) {
        let (limiter, _clock) = limiter(64, 10);
        while limiter.check_key(&0).is_ok() {}
        for other in others {
            prop_assert!(limiter.check_key(&other).is_ok());
            prop_assert!(limiter.check_key(&0).is_err());
        }
    }
}

#[test]
fn a_full_table_takes_new_addresses_at_once() {
    let (limiter, _clock) = limiter(8, 3);
    for hash in 0..8 {
        while limiter.check_key(&hash).is_ok() {}
    }
    for hash in 8..1_000 {
        assert!(limiter.check_key(&hash).is_ok(), "{hash}");
    }
}

#[test]
fn it_is_as_large_as_it_was_made() {
    let table = Table::new(1_001);
    for hash in 0..1_000_000_u64 {
        let stored = table.measure_and_replace(&hash, |_| Ok::<_, ()>(((), Nanos::from(hash + 1))));
        assert!(stored.is_ok());
    }
    let places = table.places();
    assert_eq!(places.hashes.len(), 1_008);
    assert_eq!(
        places.hashes.capacity() + places.full_at.capacity(),
        2 * 1_008
    );
    assert!(places.full_at.iter().all(|full_at| *full_at > 900_000));
}
