//! When clients, or polls, come.

use std::f64::consts::TAU;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::table::to_float;

/// How often the time of an arrival is narrowed down by half: from an hour to less
/// than a microsecond.
const HALVINGS: u32 = 32;
/// Longer than any run.
const ENDLESS: Duration = Duration::from_hours(24 * 365);

/// When who comes next, from its start to its end.
pub(crate) struct Schedule {
    pub(crate) start: Instant,
    /// From when on latency is recorded.
    pub(crate) measured_from: Instant,
    pub(crate) end: Instant,
    /// When they come if the schedule has it and not the broker.
    pub(crate) arrivals: Option<Arrivals>,
    pub(crate) count: AtomicU64,
}

impl Schedule {
    /// Everybody comes as soon as they can, and again and again.
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

    /// When the next one is to come; `None` after the end.
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

/// Arrivals at a rate that swings around its mean as over a day: it is least at the
/// begin and the end, and most in the middle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrivals {
    pub(crate) per_second: f64,
    /// How far the rate goes from its mean, as a share of it.
    pub(crate) swing: f64,
    /// How long the day is.
    pub(crate) day: Duration,
}

impl Arrivals {
    /// When, after the start, the one comes before whom so many came.
    fn due(self, before: u64) -> Duration {
        let steady = to_float(before) / self.per_second;
        // The swing brings nobody forward, or back, by more.
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

    /// How many have come by then: the integral of the rate, which is
    /// `1 - swing * cos` of the time of day.
    fn arrived(self, seconds: f64) -> f64 {
        let day = self.day.as_secs_f64();
        let swung = self.swing * day / TAU * (TAU * seconds / day).sin();
        self.per_second * (seconds - swung)
    }
}
