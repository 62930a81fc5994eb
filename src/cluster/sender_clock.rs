//! The age of messages, though the clocks of nodes do not agree.
//!
//! A message has the time of its sending on the clock of its node, which counts from the
//! node's start and is never set. The fastest message of the last seconds shows how the two
//! clocks differ; a message that needed longer than that one is as much older. Wall clocks
//! play no part, so setting one does no harm.

use std::time::{Duration, Instant};

/// The time for which the fastest message counts, at least; twice that at most.
const WINDOW: Duration = Duration::from_secs(10);

/// The clock of another node, as far as its messages show it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SenderClock {
    /// The start of the current window.
    since: Instant,
    /// The smallest lag of the current window, and of the one before.
    smallest: [Lag; 2],
}

/// The time of arrival minus the time of sending, each since the start of its own clock, in
/// milliseconds.
type Lag = i64;

impl SenderClock {
    /// The clock of a node whose first message, sent at this time, has just come.
    pub(super) fn new(started: Instant, now: Instant, sent_at_ms: u64) -> Self {
        let lag = lag(started, now, sent_at_ms);
        Self {
            since: now,
            smallest: [lag, lag],
        }
    }

    /// Learns from another message. Returns its age.
    pub(super) fn age(&mut self, started: Instant, now: Instant, sent_at_ms: u64) -> Duration {
        let lag = lag(started, now, sent_at_ms);
        if now.saturating_duration_since(self.since) >= WINDOW {
            self.since = now;
            self.smallest = [lag, self.smallest[0]];
        }
        self.smallest[0] = self.smallest[0].min(lag);
        let smallest = self.smallest[0].min(self.smallest[1]);
        Duration::from_millis(lag.abs_diff(smallest))
    }
}

/// The time of a clock that counts from `started`, in milliseconds.
pub(super) fn millis_since(started: Instant, now: Instant) -> u64 {
    let since = now.saturating_duration_since(started);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn lag(started: Instant, now: Instant, sent_at_ms: u64) -> Lag {
    let signed = |millis| Lag::try_from(millis).unwrap_or(Lag::MAX);
    signed(millis_since(started, now)).saturating_sub(signed(sent_at_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_message_is_as_much_older_as_it_was_slower() {
        let started = start();
        let at = |time| started + millis(time);
        // The other node began 1,000 s earlier, and its fastest message takes 1 ms.
        let sent = |time: u64| time + 1_000_000;
        let mut clock = SenderClock::new(started, at(105), sent(100));
        assert_eq!(clock.age(started, at(205), sent(200)), millis(0));
        assert_eq!(clock.age(started, at(301), sent(300)), millis(0));
        assert_eq!(clock.age(started, at(405), sent(400)), millis(4));
        assert_eq!(clock.age(started, at(3_501), sent(500)), millis(3_000));
    }

    #[test]
    fn a_clock_that_stood_still_is_known_again_within_two_windows() {
        let started = start();
        let mut clock = SenderClock::new(started, started, 0);
        // The other machine was suspended for a minute.
        let mut ages = (0..50_u32).map(|step| {
            let now = started + millis(60_000) + millis(500) * step;
            clock.age(started, now, u64::from(step) * 500)
        });
        assert_eq!(ages.next(), Some(millis(60_000)));
        assert_eq!(ages.last(), Some(millis(0)));
    }
}
