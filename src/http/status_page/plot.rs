//! Bars of a plot, as paths of an SVG image.

use std::fmt::Write as _;

/// The height of the view box.
const HEIGHT: u64 = 100;
/// The distance from one bar to the next, and the width of a bar.
const STEP: u64 = 20;
const BAR: u64 = 16;

/// A plot with a bar for each part of some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plot {
    /// The width of the view box.
    pub(super) width: u64,
    /// The height of the view box.
    pub(super) height: u64,
    /// The sum of the highest bar.
    pub(super) most: u64,
    /// The bars of each series, the lowest series first.
    pub(super) series: Vec<PlotSeries>,
    /// The places of the parts about which nothing is known.
    pub(super) gaps: String,
}

/// The bars of one kind of counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlotSeries {
    /// The name of the series in the style sheet.
    pub(super) name: &'static str,
    /// The bars, as the data of a path.
    pub(super) path: String,
}

/// The plot of these counts, the oldest first; `None` is a gap. Each bar has one count of
/// each series, and the highest bar is as high as the plot.
pub(super) fn plot<const N: usize>(names: [&'static str; N], bars: &[Option<[u64; N]>]) -> Plot {
    let sums = bars.iter().flatten().map(sum);
    let most = sums.max().unwrap_or_default();
    let mut series = names.map(|name| PlotSeries {
        name,
        path: String::new(),
    });
    let mut gaps = String::new();
    let mut left = 0;
    for bar in bars {
        let mut bottom = HEIGHT;
        match bar {
            Some(counts) => {
                for (series, count) in series.iter_mut().zip(counts) {
                    let height = height(*count, most).min(bottom);
                    bottom -= height;
                    add(&mut series.path, left, bottom, BAR, height);
                }
            }
            None => add(&mut gaps, left, 0, STEP, HEIGHT),
        }
        left += STEP;
    }
    Plot {
        width: left,
        height: HEIGHT,
        most,
        series: series.into(),
        gaps,
    }
}

fn sum<const N: usize>(counts: &[u64; N]) -> u64 {
    counts.iter().fold(0, |sum, more| sum.saturating_add(*more))
}

/// The height of a bar. Not even a single event is too small to be seen.
fn height(count: u64, most: u64) -> u64 {
    let part = u128::from(count) * u128::from(HEIGHT) / u128::from(most.max(1));
    let part = u64::try_from(part).unwrap_or(HEIGHT);
    part.max(u64::from(count > 0))
}

/// Adds a rectangle to the data of a path.
fn add(path: &mut String, left: u64, top: u64, width: u64, height: u64) {
    if height > 0 {
        // Writing to a string cannot fail.
        let _ = write!(path, "M{left} {top}h{width}v{height}h-{width}z");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(bars: &[Option<[u64; 2]>]) -> [String; 2] {
        let plot = plot(["a", "b"], bars);
        let [lower, upper] = [0, 1].map(|index| plot.series[index].path.clone());
        [lower, upper]
    }

    #[test]
    fn the_largest_sum_fills_the_plot() {
        assert_eq!(paths(&[Some([0, 0])]), [""; 2]);
        let [lower, upper] = paths(&[Some([1, 0]), Some([1, 1])]);
        assert_eq!(lower, "M0 50h16v50h-16zM20 50h16v50h-16z");
        assert_eq!(upper, "M20 0h16v50h-16z");
        let [lower, _] = paths(&[Some([1, 0]), Some([0, 1000])]);
        assert_eq!(lower, "M0 99h16v1h-16z");
        let [lower, upper] = paths(&[Some([1_000_000, 1])]);
        assert_eq!((&*lower, &*upper), ("M0 1h16v99h-16z", "M0 0h16v1h-16z"));
        let [lower, upper] = paths(&[Some([u64::MAX, u64::MAX])]);
        assert_eq!((&*lower, &*upper), ("M0 0h16v100h-16z", ""));
    }

    #[test]
    fn a_gap_is_told_from_nothing() {
        let plot = plot(["a"], &[Some([0]), None, Some([2])]);
        assert_eq!(plot.gaps, "M20 0h20v100h-20z");
        assert_eq!(plot.series[0].path, "M40 0h16v100h-16z");
        assert_eq!((plot.width, plot.most), (60, 2));
    }
}
