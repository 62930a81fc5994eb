use std::collections::HashMap;
use std::iter;

use proptest::prelude::*;

use super::*;

const PERIOD: u64 = 1_000;

fn quota(burst: u32) -> Quota {
    Quota {
        token: PERIOD,
        depth: PERIOD * u64::from(burst),
    }
}

fn draw(hash: u64, burst: u32) -> Draw {
    let quota = quota(burst);
    Draw { hash, quota }
}

/// A straightforward implementation of token buckets that forgets none; in nanoseconds of
/// refilling.
struct Naive {
    burst: u64,
    levels: HashMap<u64, (i64, u64)>,
}

impl Naive {
    fn admits(&mut self, hash: u64, now: u64) -> bool {
        self.admits_all(&[hash], now)
    }

    fn admits_all(&mut self, hashes: &[u64], now: u64) -> bool {
        let has_tokens = self.have_tokens(hashes, now);
        if has_tokens {
            self.take(hashes, now, 1);
        }
        has_tokens
    }

    /// If one bucket is empty, only the first is charged.
    fn charge(&mut self, hashes: &[u64], now: u64, tokens: u64) {
        if self.have_tokens(hashes, now) {
            self.take(hashes, now, tokens);
        } else {
            self.take(&hashes[..1], now, tokens);
        }
    }

    fn have_tokens(&mut self, hashes: &[u64], now: u64) -> bool {
        hashes
            .iter()
            .all(|hash| *self.level(*hash, now) >= nanos(PERIOD))
    }

    fn take(&mut self, hashes: &[u64], now: u64, tokens: u64) {
        for hash in hashes {
            let (level, used) = (self.level(*hash, now), nanos(tokens * PERIOD));
            *level = (*level - used).max(-used);
        }
    }

    fn level(&mut self, hash: u64, now: u64) -> &mut i64 {
        let whole = nanos(self.burst * PERIOD);
        let (level, since) = self.levels.entry(hash).or_insert((whole, now));
        *level = whole.min(*level + nanos(now - *since));
        *since = now;
        level
    }
}

fn nanos(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap()
}

/// A few distinct buckets, like those of a request.
fn some_of(hashes: u64) -> impl Strategy<Value = Vec<u64>> {
    let hashes: Vec<u64> = (0..hashes).collect();
    prop::sample::subsequence(hashes, 1..=3)
}

proptest! {
    #[test]
    fn with_room_for_all_each_is_a_token_bucket_and_a_request_takes_all_or_none(
        burst in 1..5u32,
        requests in prop::collection::vec((some_of(8), 0..3 * PERIOD, 0..12u64), 1..300),
    ) {
        let table = BucketTable::new(8);
        let mut naive = Naive { burst: burst.into(), levels: HashMap::new() };
        let mut now = 0;
        for (hashes, pause, tokens) in requests {
            now += pause;
            let draws: Vec<Draw> = hashes.iter().map(|hash| draw(*hash, burst)).collect();
            if tokens > 8 {
                table.charge(now, &draws, tokens);
                naive.charge(&hashes, now, tokens);
            } else {
                let has_room = table.has_room(now, &draws);
                prop_assert_eq!(has_room, table.take(now, &draws));
                prop_assert_eq!(has_room, naive.admits_all(&hashes, now));
            }
        }
    }

    #[test]
    fn too_many_addresses_are_forgiven_never_refused_more(
        burst in 1..5u32,
        requests in prop::collection::vec((0..40u64, 0..PERIOD), 1..600),
    ) {
        let table = BucketTable::new(8);
        let mut naive = Naive { burst: burst.into(), levels: HashMap::new() };
        let mut admitted: HashMap<u64, (u32, u32)> = HashMap::new();
        let mut now = 0;
        for (hash, pause) in requests {
            now += pause;
            let (ours, naives) = admitted.entry(hash).or_default();
            *ours += u32::from(table.take(now, &[draw(hash, burst)]));
            *naives += u32::from(naive.admits(hash, now));
            prop_assert!(ours >= naives);
        }
    }

    #[test]
    fn who_is_over_the_limit_stays_so_however_many_others_come(
        others in prop::collection::vec(1..u64::MAX, 1..2_000),
    ) {
        let table = BucketTable::new(64);
        empty(&table, 0, 10);
        for other in others {
            prop_assert!(table.take(0, &[draw(other, 10)]));
            prop_assert!(!table.has_room(0, &[draw(0, 10)]));
        }
    }
}

/// Empties a bucket. Returns the number of its tokens.
fn empty(table: &BucketTable, hash: u64, burst: u32) -> usize {
    let taken = iter::repeat_with(|| table.take(0, &[draw(hash, burst)]));
    taken.take_while(|taken| *taken).count()
}

#[test]
fn a_full_table_takes_new_addresses_at_once() {
    let table = BucketTable::new(8);
    for hash in 0..1_000 {
        assert_eq!(empty(&table, hash, 3), 3, "{hash}");
    }
}

#[test]
fn a_quota_is_so_many_a_minute_and_at_once() {
    for (per_minute, burst, factor) in [
        (1, 1, 1),
        (600, 300, 1),
        (600, 300, 100),
        (1_000_000, 1_000_000, 16_000),
    ] {
        let quota = Quota::new(per_minute, burst, factor).unwrap();
        let tokens = u64::from(burst) * u64::from(factor);
        assert_eq!(quota.depth / quota.token, tokens);
        // Nanoseconds are integers.
        let rate = u64::from(per_minute) * u64::from(factor);
        let told = NANOS_PER_MINUTE / quota.token;
        assert!((rate..=rate + rate / 3).contains(&told), "{rate}: {told}");
    }
    assert_eq!(Quota::new(0, 1, 1), None);
}

#[test]
fn it_is_as_large_as_it_was_made() {
    let table = BucketTable::new(1_001);
    for hash in 0..1_000_000_u64 {
        assert!(table.take(hash, &[draw(hash, 3)]));
    }
    let places = table.places();
    assert_eq!(places.hashes.len(), 1_008);
    assert_eq!(
        places.hashes.capacity() + places.full_at.capacity(),
        2 * 1_008
    );
    assert!(places.full_at.iter().all(|full_at| *full_at > 900_000));
}
