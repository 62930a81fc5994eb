//! The proof that the bus works: a node hears its own words, those of supply and those to
//! itself, in turn. A connection may look well
//! while the server at its other end hangs.

use std::time::{Duration, Instant};

/// The time without an own word after which the bus counts as away. Together with the
/// heartbeat it is less than the second within which a node has to serve on its own.
const SILENT_AFTER: Duration = Duration::from_millis(950);

/// The time without an own word after which the connection is made anew, and again.
const STUCK_AFTER: Duration = Duration::from_secs(2);

/// The time without an own word on one of the two subjects after which the bus counts as away,
/// too: twice the time between two of these.
const SUBJECT_SILENT_AFTER: Duration = Duration::from_millis(1_900);

/// The subject on which a word of this node came back.
#[derive(Clone, Copy, Debug)]
pub(super) enum EchoSubject {
    /// That of all nodes' supply.
    Supply,
    /// That of the messages to this node.
    Node,
}

/// The last words of this node that came back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Echo {
    heard: Option<Instant>,
    /// The last word on each subject, or else the first one on the other.
    by_subject: Option<[Instant; 2]>,
    /// The state as it was told last.
    told: Option<bool>,
    /// The last time at which a word was heard, or the connection was made anew.
    alive: Option<Instant>,
}

impl Echo {
    /// Notes that a word of ours has come back.
    pub(super) fn came_back(&mut self, now: Instant, subject: EchoSubject) {
        self.heard = Some(now);
        self.by_subject.get_or_insert([now; 2])[subject as usize] = now;
        self.alive = Some(now);
    }

    /// Notes that the connection has ended.
    pub(super) fn lost(&mut self) {
        self.heard = None;
        self.by_subject = None;
    }

    /// Returns true if the bus works.
    pub(super) fn is_heard(&self, now: Instant) -> bool {
        let silent_for = |heard| now.saturating_duration_since(heard);
        let last = self.heard.map(silent_for);
        last.is_some_and(|last| last < SILENT_AFTER)
            && self.by_subject.is_some_and(|heard| {
                let mut all = heard.into_iter();
                all.all(|heard| silent_for(heard) < SUBJECT_SILENT_AFTER)
            })
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
        echo.came_back(now, EchoSubject::Supply);
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
        echo.came_back(now, EchoSubject::Node);
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
        echo.came_back(at(6), EchoSubject::Supply);
        assert!(!echo.is_stuck(at(7)));
    }

    #[test]
    fn a_bus_from_which_nothing_comes_back_on_one_subject_is_away() {
        let mut echo = Echo::default();
        let start = start();
        for beat in 0..5 {
            let now = start + beat * Duration::from_millis(450);
            echo.came_back(now, EchoSubject::Node);
            assert!(echo.is_heard(now), "{beat}");
        }
        let now = start + Duration::from_millis(2_250);
        echo.came_back(now, EchoSubject::Node);
        assert!(!echo.is_heard(now));
        echo.came_back(now, EchoSubject::Supply);
        assert!(echo.is_heard(now));
    }
}
