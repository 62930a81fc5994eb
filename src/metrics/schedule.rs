//! The end of a period by the wall clock. A period continues after a restart, and the
//! clock may be set while it lasts.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

/// The largest difference between two clocks that still agree.
const TOLERANCE: Duration = Duration::from_secs(1);

/// Detects that the wall clock was set, by comparing it with a monotonic clock.
#[derive(Debug)]
pub struct ClockStepDetector {
    wall: SystemTime,
    monotonic: Instant,
}

/// The amount by which a clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The clock was set to a later time.
    Forward(Duration),
    /// The clock was set to an earlier time.
    Back(Duration),
}

impl ClockStepDetector {
    /// Starts with the current time of both clocks.
    pub fn new(wall: SystemTime, monotonic: Instant) -> Self {
        Self { wall, monotonic }
    }

    /// Returns the amount by which the wall clock was set since the last call, if it was.
    /// Time during which the machine was suspended counts as set forward.
    pub fn look(&mut self, wall: SystemTime, monotonic: Instant) -> Option<Step> {
        let passed = monotonic.saturating_duration_since(self.monotonic);
        let expected = self.wall.checked_add(passed);
        *self = Self::new(wall, monotonic);
        let step = match wall.duration_since(expected?) {
            Ok(forward) => Step::Forward(forward),
            Err(back) => Step::Back(back.duration()),
        };
        (step.size() > TOLERANCE).then_some(step)
    }
}

impl Step {
    /// Translates an earlier point in time to the clock's new setting, so that a period
    /// that began there keeps its true length.
    pub fn apply(self, time: SystemTime) -> SystemTime {
        let applied = match self {
            Self::Forward(by) => time.checked_add(by),
            Self::Back(by) => time.checked_sub(by),
        };
        applied.unwrap_or(time)
    }

    fn size(self) -> Duration {
        let (Self::Forward(by) | Self::Back(by)) = self;
        by
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = match self {
            Self::Forward(_) => "forward",
            Self::Back(_) => "back",
        };
        write!(
            formatter,
            "{direction} by {:.0} s",
            self.size().as_secs_f64()
        )
    }
}

/// The time left of a period that began at `start`; zero if it is over.
///
/// If the clock was set back to before the start without a [`ClockStepDetector`]
/// noticing, the period restarts at `now`. Otherwise it would not end until the clock
/// reaches its start again, which may take years.
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

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
    fn a_clock_that_is_set_is_noticed_and_one_that_goes_is_not() {
        let monotonic = Instant::now();
        let mut calendar = ClockStepDetector::new(start(), monotonic);
        let mut look = |passed: Duration, wall| calendar.look(wall, monotonic + passed);
        assert_eq!(look(HOUR, start() + HOUR), None);
        let almost = Duration::from_millis(900);
        let rest = Duration::from_millis(100) + 59 * MINUTE + Duration::from_secs(59);
        assert_eq!(look(HOUR + MINUTE, start() + HOUR + MINUTE + almost), None);
        let forward = Step::Forward(rest);
        assert_eq!(
            look(HOUR + MINUTE, start() + 2 * HOUR + MINUTE),
            Some(forward)
        );
        assert_eq!(look(HOUR + MINUTE, start() + 2 * HOUR + MINUTE), None);
        let back = Step::Back(2 * HOUR);
        assert_eq!(look(HOUR + 2 * MINUTE, start() + 2 * MINUTE), Some(back));
    }

    #[test]
    fn a_period_keeps_its_length_when_the_clock_is_set() {
        for step in [Step::Forward(HOUR), Step::Back(HOUR)] {
            let now = step.apply(start() + MINUTE);
            let mut period = step.apply(start());
            assert_eq!(remaining(&mut period, HOUR, now), 59 * MINUTE);
        }
        let far = Step::Forward(Duration::MAX);
        assert_eq!(far.apply(start()), start());
    }
}
