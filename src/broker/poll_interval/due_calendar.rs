//! A calendar of proxies expected back.

use std::collections::VecDeque;
use std::ops::AddAssign;
use std::time::Duration;

/// The number of seconds in the calendar: twice the longest ceiling. Proxies due later
/// are entered at its end.
const LONGEST: usize = 7200;

/// The proxies due back in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct DueProxies {
    /// The number of proxies.
    pub(super) proxies: f64,
    /// The sum of their cycles (from the last poll to this one, at their pool's interval),
    /// in seconds.
    pub(super) cycles: f64,
}

impl AddAssign for DueProxies {
    fn add_assign(&mut self, other: Self) {
        self.proxies += other.proxies;
        self.cycles += other.cycles;
    }
}

/// A calendar of the coming seconds.
#[derive(Debug, Default)]
pub(super) struct DueCalendar(VecDeque<DueProxies>);

impl DueCalendar {
    /// Enters a proxy that will be back after `back_after`, and its cycle.
    pub(super) fn expect(&mut self, back_after: Duration, cycle: Duration) {
        let second = usize::try_from(back_after.as_secs())
            .unwrap_or(LONGEST)
            .min(LONGEST);
        if self.0.len() <= second {
            self.0.resize(second + 1, DueProxies::default());
        }
        self.0[second] += DueProxies {
            proxies: 1.0,
            cycles: cycle.as_secs_f64(),
        };
    }

    /// Removes the second that has passed. Returns the proxies due in it.
    pub(super) fn pass_second(&mut self) -> DueProxies {
        self.0.pop_front().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_due_in_its_second() {
        let mut calendar = DueCalendar::default();
        let seconds = Duration::from_secs;
        calendar.expect(Duration::from_millis(2900), Duration::from_millis(12_900));
        calendar.expect(seconds(2), seconds(2));
        calendar.expect(seconds(0), seconds(10));
        let due: Vec<DueProxies> = (0..4).map(|_| calendar.pass_second()).collect();
        let expected = [(1.0, 10.0), (0.0, 0.0), (2.0, 14.9), (0.0, 0.0)]
            .map(|(proxies, cycles)| DueProxies { proxies, cycles });
        assert_eq!(due, expected);
    }

    #[test]
    fn the_calendar_is_bounded() {
        let mut calendar = DueCalendar::default();
        calendar.expect(Duration::MAX / 2, Duration::MAX / 2);
        assert_eq!(calendar.0.len(), LONGEST + 1);
    }
}
