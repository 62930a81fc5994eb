//! The schedule of clients or polls.

use std::f64::consts::TAU;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::table::to_float;

/// The number of times that the interval of an arrival is halved: from an hour to less
/// than a microsecond.
const HALVINGS: u32 = 32;
/// Longer than any run.
const ENDLESS: Duration = Duration::from_hours(24 * 365);

/// The times at which clients or polls are due, from its start to its end.
pub(crate) struct Schedule {
    pub(crate) start: Instant,
    /// The time from which latency is recorded.
    pub(crate) measured_from: Instant,
    pub(crate) end: Instant,
    /// The arrivals; `None` if each client or poll follows the previous one at once.
    pub(crate) arrivals: Option<Arrivals>,
    pub(crate) count: AtomicU64,
}

impl Schedule {
    /// Creates a schedule without arrivals or end: everyone returns at once.
    pub(crate) fn endless() -> Self {
        let now = Instant::now();
        Self {
            start: now,
            measured_from: now,
            end: now + ENDLESS,
            arrivals: None,
            count: AtomicU64::new(0),
        }
    }

    /// The time at which the next client or poll is due; `None` after the end.
    pub(crate) fn next(&self) -> Option<Instant> {
        let due = match &self.arrivals {
            None => Instant::now(),
            Some(arrivals) => {
                let before = self.count.fetch_add(1, Ordering::Relaxed);
                self.start + arrivals.due(before)
            }
        };
        (due < self.end).then_some(due)
    }
}

/// Arrivals at a rate that varies around its mean as over a day: lowest at the start and
/// the end, highest in the middle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrivals {
    pub(crate) per_second: f64,
    /// The largest deviation of the rate from its mean, as a share of the mean.
    pub(crate) swing: f64,
    /// The length of the day.
    pub(crate) day: Duration,
}

impl Arrivals {
    /// The time after the start at which arrival number `before` + 1 is due.
    fn due(self, before: u64) -> Duration {
        let steady = to_float(before) / self.per_second;
        // The variation shifts no arrival by more than this.
        let most = self.swing * self.day.as_secs_f64() / TAU;
        let (mut early, mut late) = (f64::max(steady - most, 0.0), steady + most);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(early, late);
            if self.arrived(middle) < to_float(before) {
                early = middle;
            } else {
                late = middle;
            }
        }
        Duration::from_secs_f64(late)
    }

    /// The number of arrivals until this time: the integral of the rate, which is `1 -
    /// swing * cos` of the time of day.
    fn arrived(self, seconds: f64) -> f64 {
        let day = self.day.as_secs_f64();
        let swung = self.swing * day / TAU * (TAU * seconds / day).sin();
        self.per_second * (seconds - swung)
    }
}
