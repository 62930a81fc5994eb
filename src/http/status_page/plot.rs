//! Bars of a plot, as parts of an SVG image.

/// The height of the plot, in units of its view box.
const HEIGHT: u64 = 60;
/// The distance from one bar to the next.
const STEP: u64 = 20;

/// A bar: one count on top of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    /// The left edge.
    pub(super) x: u64,
    /// The height of the lower part.
    pub(super) lower: u64,
    /// The top of the lower part.
    pub(super) lower_top: u64,
    /// The height of the upper part.
    pub(super) upper: u64,
    /// The top of the upper part.
    pub(super) upper_top: u64,
}

/// The width of a plot with this many bars.
pub(super) fn width(bars: usize) -> u64 {
    (bars as u64).saturating_mul(STEP)
}

/// The bars of these counts, the oldest first. The largest sum is as high as the plot.
pub(super) fn bars(counts: &[(u64, u64)]) -> Vec<Bar> {
    let sums = counts
        .iter()
        .map(|(lower, upper)| lower.saturating_add(*upper));
    let most = sums.max().unwrap_or(0).max(1);
    // Not even one event is too small to be seen.
    let height = |count: u64| (count.saturating_mul(HEIGHT) / most).max(u64::from(count > 0));
    let bars = (0..).step_by(usize::try_from(STEP).unwrap_or(1));
    bars.zip(counts)
        .map(|(x, &(lower, upper))| {
            let lower = height(lower).min(HEIGHT);
            let upper = height(upper).min(HEIGHT - lower);
            Bar {
                x,
                lower,
                lower_top: HEIGHT - lower,
                upper,
                upper_top: HEIGHT - lower - upper,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heights(counts: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let bars = bars(counts);
        bars.iter().map(|bar| (bar.lower, bar.upper)).collect()
    }

    #[test]
    fn the_largest_sum_fills_the_plot() {
        assert_eq!(heights(&[]), []);
        assert_eq!(heights(&[(0, 0)]), [(0, 0)]);
        assert_eq!(heights(&[(1, 0), (1, 1)]), [(30, 0), (30, 30)]);
        assert_eq!(heights(&[(1, 0), (1000, 0)]), [(1, 0), (60, 0)]);
        assert_eq!(heights(&[(1_000_000, 1)]), [(59, 1)]);
        let bars = bars(&[(1, 0), (1, 1)]);
        assert_eq!(
            (bars[1].x, bars[1].lower_top, bars[1].upper_top),
            (20, 30, 0)
        );
    }
}
