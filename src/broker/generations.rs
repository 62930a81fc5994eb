//! The generations of proxies, by the times at which they come back.
//!
//! Go proxies since 2.14.0 come back at the interval that they are told, if no client came.
//! Earlier ones have an interval of their own, 5 s for the command-line program. Web
//! extensions always have one, so theirs shows nothing. A slow proxy may be busy, so only
//! one that comes much too soon is taken for an old one, and only if it is alone at its
//! address: while polls of several are parked, nobody knows whose turn it is.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;

use crate::policy::Generation;
use crate::wire::proxy::ProxyType;

/// The time for which a table is filled. The one before is kept beside it.
const PERIOD: Duration = Duration::from_mins(30);
/// The most proxies in a table.
const PROXIES_MAX: usize = 65_536;
/// The most returns that are waited for at one source, of as many proxies of one type.
const DUE_MAX: usize = 32;
/// The shortest interval by which proxies can be told apart.
const SHORTEST: Duration = Duration::from_secs(5);
/// The time by which a return may be early, and late: requests take their time.
const EARLY: Duration = Duration::from_millis(500);
const LATE: Duration = Duration::from_secs(3);
/// The part of its interval within which a return is much too soon. The others of an address
/// may come at any time in between.
const SOON: u32 = 5;
/// The number of returns in a row that show a generation.
const RETURNS: u8 = 2;

/// The proxies of one type at a source.
pub(super) type ReturnKey = (u64, ProxyType);

type Returns = HashMap<ReturnKey, ReturnTimes, FixedState>;

/// The returns of proxies in the present period and the one before.
#[derive(Debug)]
pub(super) struct Generations {
    since: Instant,
    recent: Returns,
    previous: Returns,
}

/// The returns of proxies of one type at a source.
#[derive(Clone, Debug, Default)]
struct ReturnTimes {
    due: Vec<Due>,
    /// Polls without a reply.
    parked: u32,
    /// Returns in a row at the told time.
    punctual: u8,
    /// Returns in a row much before it.
    early: u8,
    seen: Generation,
}

/// A return that is waited for.
#[derive(Clone, Copy, Debug)]
struct Due {
    told_at: Instant,
    interval: Duration,
    /// True if no other poll was parked then.
    is_alone: bool,
}

impl Due {
    fn at(self) -> Instant {
        self.told_at + self.interval
    }
}

impl Generations {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            recent: Returns::default(),
            previous: Returns::default(),
        }
    }

    /// Notes a poll, and returns the generation that the returns so far have shown.
    pub(super) fn polled(&mut self, now: Instant, key: ReturnKey) -> Generation {
        let returns = self.returns(now, key);
        returns.came(now);
        returns.parked = returns.parked.saturating_add(1);
        returns.seen
    }

    /// Notes that a poll has its reply, or that its proxy has left.
    pub(super) fn ended(&mut self, now: Instant, key: ReturnKey) {
        let returns = self.returns(now, key);
        returns.parked = returns.parked.saturating_sub(1);
    }

    /// Notes that a proxy, whose poll has ended, was told to come back after an interval.
    pub(super) fn told(&mut self, now: Instant, key: ReturnKey, interval: Duration) {
        if interval >= SHORTEST {
            self.returns(now, key).told(now, interval);
        }
    }

    /// Starts a new period when the present one is over.
    pub(super) fn advance(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) >= PERIOD {
            self.begin_period(now);
        }
    }

    fn begin_period(&mut self, now: Instant) {
        self.previous = std::mem::take(&mut self.recent);
        self.since = now;
    }

    /// The returns under this key, which have been used last.
    fn returns(&mut self, now: Instant, key: ReturnKey) -> &mut ReturnTimes {
        self.advance(now);
        if self.recent.len() >= PROXIES_MAX && !self.recent.contains_key(&key) {
            self.begin_period(now);
        }
        let previous = &mut self.previous;
        let recent = self.recent.entry(key);
        recent.or_insert_with(|| previous.remove(&key).unwrap_or_default())
    }
}

impl ReturnTimes {
    fn told(&mut self, now: Instant, interval: Duration) {
        if self.due.len() >= DUE_MAX {
            self.due.remove(0);
        }
        self.due.push(Due {
            told_at: now,
            interval,
            is_alone: self.parked == 0,
        });
    }

    fn came(&mut self, now: Instant) {
        self.due.retain(|due| due.at() + LATE >= now);
        let is_punctual = |due: &Due| due.at() <= now + EARLY;
        if let Some(place) = self.due.iter().position(is_punctual) {
            self.due.remove(place);
            self.early = 0;
            self.punctual = self.punctual.saturating_add(1);
            if self.punctual >= RETURNS {
                self.seen = Generation::ObeysInterval;
            }
            return;
        }
        // The one that was told last, most likely. The others may still come.
        let is_early = |due: &Due| due.is_alone && now < due.told_at + due.interval / SOON;
        if self.parked == 0 && self.due.last().is_some_and(is_early) {
            self.due.pop();
            self.punctual = 0;
            self.early = self.early.saturating_add(1);
            if self.early >= RETURNS {
                self.seen = Generation::Old;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::clock;

    const TOLD: Duration = Duration::from_secs(20);
    const PARKED: Duration = Duration::from_secs(10);
    const KEY: ReturnKey = (1, ProxyType::STANDALONE);

    /// The generation after polls that were parked for 10 s and came back after these many
    /// milliseconds.
    fn seen(returns: &[u64]) -> Generation {
        let mut now = clock::now();
        let mut generations = Generations::new(now);
        let mut seen = generations.polled(now, KEY);
        for &millis in returns {
            now += PARKED;
            generations.ended(now, KEY);
            generations.told(now, KEY, TOLD);
            now += Duration::from_millis(millis);
            seen = generations.polled(now, KEY);
        }
        seen
    }

    #[test]
    fn two_returns_in_a_row_show_a_generation() {
        use Generation::{ObeysInterval, Old, Unknown};
        for (returns, expected) in [
            (&[][..], Unknown),
            (&[20_000], Unknown),
            (&[20_000, 20_100], ObeysInterval),
            (&[19_600, 22_900], ObeysInterval),
            (&[0], Unknown),
            (&[0, 0], Old),
            (&[0, 3_900], Old),
            (&[4_100, 9_900], Unknown),
            // A busy proxy comes late, and an app on a phone has 120 s.
            (&[30_000, 110_000, 30_000], Unknown),
            (&[15_000, 15_000], Unknown),
            (&[0, 20_000, 0, 20_000], Unknown),
            // A volunteer has updated the program.
            (&[0, 0, 20_000, 20_000], ObeysInterval),
            (&[20_000, 20_000, 0], ObeysInterval),
        ] {
            assert_eq!(seen(returns), expected, "{returns:?}");
        }
    }

    /// Honest proxies behind one address come much sooner after each other than each was told.
    /// Only if one always comes just after the reply to another do they look like an old one.
    #[test]
    fn several_proxies_behind_one_address_are_told_apart_by_their_times() {
        for (proxies, apart) in [
            (2, 15_000),
            (2, 12_000),
            (3, 9_000),
            (7, 4_300),
            (20, 1_500),
        ] {
            let start = clock::now();
            let mut generations = Generations::new(start);
            let mut events = Vec::new();
            for proxy in 0..proxies {
                let first = Duration::from_millis(apart) * proxy;
                for round in 0..10 {
                    let at = first + (TOLD + PARKED) * round;
                    events.extend([(at, true), (at + PARKED, false)]);
                }
            }
            events.sort_unstable();
            let mut seen = Generation::Unknown;
            for (at, is_poll) in events {
                if is_poll {
                    seen = generations.polled(start + at, KEY);
                } else {
                    generations.ended(start + at, KEY);
                    generations.told(start + at, KEY, TOLD);
                }
            }
            assert_eq!(seen, Generation::ObeysInterval, "{proxies}, {apart} ms");
        }
    }

    #[test]
    fn intervals_that_tell_nothing_are_left_out() {
        let mut now = clock::now();
        let mut generations = Generations::new(now);
        for _ in 0..5 {
            generations.ended(now, KEY);
            generations.told(now, KEY, Duration::from_secs(4));
            now += Duration::from_secs(4);
            assert_eq!(generations.polled(now, KEY), Generation::Unknown);
        }
    }

    #[test]
    fn the_tables_are_bounded_and_forget() {
        let now = clock::now();
        let mut generations = Generations::new(now);
        for source in 0..3 * PROXIES_MAX as u64 {
            generations.polled(now, (source, ProxyType::STANDALONE));
            assert!(generations.recent.len() <= PROXIES_MAX);
        }
        assert!(generations.previous.len() <= PROXIES_MAX);
        for period in 1..3 {
            generations.polled(now + PERIOD * period, KEY);
        }
        assert_eq!(
            (generations.recent.len(), generations.previous.len()),
            (1, 0)
        );
    }
}
