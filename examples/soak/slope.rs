//! The growth of A's resident memory.

use std::fmt;
use std::time::Duration;

use crate::regression::Line;
use crate::samples::Sample;

/// The most that memory may grow, in MB an hour.
const MOST: f64 = 1.0;

/// The line through the samples after the warm-up, in hours and MB.
#[derive(Clone, Copy)]
pub(crate) struct Slope {
    pub(crate) line: Line,
    /// The hours at which it begins and ends.
    pub(crate) ends: [f64; 2],
}

impl Slope {
    pub(crate) fn of(samples: &[Sample], warm_up: Duration) -> Option<Self> {
        let counted = samples
            .iter()
            .filter(|sample| sample.at >= warm_up.as_secs_f64());
        let points: Vec<_> = counted
            .map(|sample| (sample.hours(), sample.megabytes()))
            .collect();
        let ends = [points.first()?.0, points.last()?.0];
        let line = Line::fit(&points)?;
        Some(Self { line, ends })
    }

    /// Returns true unless memory grows by more than it may. A short run cannot tell: then
    /// memory may as well have shrunk, or stayed as it was.
    pub(crate) fn is_good(&self) -> bool {
        self.line.slope < MOST || self.is_undecided()
    }

    fn is_undecided(&self) -> bool {
        let [least, most] = self.line.bounds();
        least <= 0.0 && most >= MOST
    }
}

impl fmt::Display for Slope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, most] = self.line.bounds();
        write!(
            out,
            "{:.2} MB an hour, standard error {:.2}, at most {most:.2} with 95 %",
            self.line.slope, self.line.error
        )?;
        if self.is_undecided() {
            write!(out, " (too short to tell it from {MOST} MB an hour)")?;
        }
        Ok(())
    }
}
