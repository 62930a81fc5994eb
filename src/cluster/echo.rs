//! The proof that the bus works: a node hears its own words of supply. A connection may look well
//! while the server at its other end hangs.

use std::time::{Duration, Instant};

/// The time without an own word after which the bus counts as away. Together with the
/// heartbeat it is less than the second within which a node has to serve on its own.
const SILENT_AFTER: Duration = Duration::from_millis(950);

/// The time without an own word after which the connection is made anew, and again.
const STUCK_AFTER: Duration = Duration::from_secs(2);

/// The last word of this node that came back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Echo {
    heard: Option<Instant>,
    /// The state as it was told last.
    told: Option<bool>,
    /// The last time at which a word was heard, or the connection was made anew.
    alive: Option<Instant>,
}

impl Echo {
    /// Notes that a word of ours has come back.
    pub(super) fn came_back(&mut self, now: Instant) {
        self.heard = Some(now);
        self.alive = Some(now);
    }

    /// Notes that the connection has ended.
    pub(super) fn lost(&mut self) {
        self.heard = None;
    }

    /// Returns true if the bus works.
    pub(super) fn is_heard(&self, now: Instant) -> bool {
        let silent_for = self.heard.map(|heard| now.saturating_duration_since(heard));
        silent_for.is_some_and(|silent_for| silent_for < SILENT_AFTER)
    }

    /// Returns true if the connection is to be made anew, and expects that it is.
    pub(super) fn is_stuck(&mut self, now: Instant) -> bool {
        let alive = *self.alive.get_or_insert(now);
        let is_stuck = now.saturating_duration_since(alive) >= STUCK_AFTER;
        if is_stuck {
            self.alive = Some(now);
        }
        is_stuck
    }

    /// The state of the bus, if it has changed since the last call.
    pub(super) fn change(&mut self, now: Instant) -> Option<bool> {
        let is_heard = self.is_heard(now);
        let alive = *self.alive.get_or_insert(now);
        let has_just_started =
            self.told.is_none() && now.saturating_duration_since(alive) < SILENT_AFTER;
        if self.told == Some(is_heard) || (has_just_started && !is_heard) {
            return None;
        }
        self.told = Some(is_heard);
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_bus_from_which_nothing_comes_back_for_less_than_a_second_is_away() {
        let now = start();
        let mut echo = Echo::default();
        assert_eq!((echo.is_heard(now), echo.change(now)), (false, None));
        echo.came_back(now);
        assert_eq!((echo.is_heard(now), echo.change(now)), (true, Some(true)));
        assert_eq!(echo.change(now), None);
        let later = now + Duration::from_secs(1);
        assert_eq!(
            (echo.is_heard(later), echo.change(later)),
            (false, Some(false))
        );
    }

    #[test]
    fn a_start_without_the_bus_is_told_after_a_moment() {
        let now = start();
        let mut echo = Echo::default();
        assert_eq!(echo.change(now), None);
        let later = now + SILENT_AFTER;
        assert_eq!(echo.change(later), Some(false));
        assert_eq!(echo.change(later), None);
    }

    #[test]
    fn a_connection_that_ends_is_away_at_once() {
        let now = start();
        let mut echo = Echo::default();
        echo.came_back(now);
        echo.lost();
        assert!(!echo.is_heard(now));
    }

    #[test]
    fn a_silent_connection_is_made_anew_every_two_seconds() {
        let now = start();
        let mut echo = Echo::default();
        let at = |seconds| now + Duration::from_secs(seconds);
        let stuck: Vec<_> = (0..6).map(|second| echo.is_stuck(at(second))).collect();
        assert_eq!(stuck, [false, false, true, false, true, false]);
        echo.came_back(at(6));
        assert!(!echo.is_stuck(at(7)));
    }
}
