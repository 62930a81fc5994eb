//! Curves over a common axis, one plot above the other.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

/// Colors that color-blind people can distinguish (Okabe and Ito).
pub(crate) const COLORS: [RGBColor; 4] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(120, 120, 120),
    RGBColor(204, 51, 51),
];
pub(crate) const FONT: (&str, u32) = ("sans-serif", 14);
pub(crate) const TEXT: (&str, u32, &RGBColor) = ("sans-serif", 14, &BLACK);
pub(crate) const HEADING: (&str, u32, &RGBColor) = ("sans-serif", 18, &BLACK);
/// Color of the grid.
pub(crate) const GRID: RGBColor = RGBColor(220, 220, 220);
const WIDTH: u32 = 860;
const HEIGHT: u32 = 340;
/// Approximate number of labels on an axis.
const LABELS: usize = 6;
/// Space above the highest point.
const HEADROOM: f64 = 1.15;

/// One plot.
pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    /// The labels of the axes, with units.
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    pub(crate) scales: Scales,
    /// A position without curves.
    pub(crate) legend: SeriesLabelPosition,
    pub(crate) curves: Vec<Curve<'a>>,
}

/// The axes that are logarithmic.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scales {
    Linear,
    LogarithmicX,
    Logarithmic,
}

/// A line through points.
pub(crate) struct Curve<'a> {
    name: &'a str,
    points: Vec<(f64, f64)>,
}

impl<'a> Curve<'a> {
    pub(crate) fn new(name: &'a str, points: Vec<(f64, f64)>) -> Self {
        Self { name, points }
    }
}

impl Plot<'_> {
    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.curves
            .iter()
            .flat_map(|curve| curve.points.iter().copied())
    }

    fn x_range(&self) -> Range<f64> {
        let all = self.points().map(|(x, _)| x);
        let (least, most) = all.fold((f64::MAX, f64::MIN), |(least, most), x| {
            (least.min(x), most.max(x))
        });
        least..most.max(least * HEADROOM)
    }

    fn y_range(&self) -> Range<f64> {
        let most = self
            .points()
            .map(|(_, y)| y)
            .fold(f64::MIN_POSITIVE, f64::max);
        0.0..most * HEADROOM
    }

    /// The smallest positive y, because 0 has no place on a logarithmic scale.
    fn least_y(&self) -> f64 {
        let all = self.points().map(|(_, y)| y).filter(|y| *y > 0.0);
        all.fold(f64::MAX, f64::min) / HEADROOM
    }
}

/// Draws the plots to a file, the first one on top.
pub(crate) fn draw(plots: &[Plot<'_>], file: &Path) -> Result<()> {
    let count = u32::try_from(plots.len())?;
    let root = SVGBackend::new(file, (WIDTH, HEIGHT * count)).into_drawing_area();
    root.fill(&WHITE)?;
    let areas = root.split_evenly((plots.len(), 1));
    for (plot, area) in plots.iter().zip(areas) {
        let (x, y) = (plot.x_range(), plot.y_range());
        match plot.scales {
            Scales::Linear => draw_one(plot, x, y, &area)?,
            Scales::LogarithmicX => draw_one(plot, x.log_scale(), y, &area)?,
            Scales::Logarithmic => {
                let y = plot.least_y()..y.end;
                draw_one(plot, x.log_scale(), y.log_scale(), &area)?;
            }
        }
    }
    Ok(root.present()?)
}

fn draw_one<X, Y>(
    plot: &Plot<'_>,
    x_range: X,
    y_range: Y,
    area: &DrawingArea<SVGBackend<'_>, Shift>,
) -> Result<()>
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .caption(plot.title, HEADING)
        .margin(14)
        .margin_right(28)
        .x_label_area_size(46)
        .y_label_area_size(72)
        .build_cartesian_2d(x_range, y_range)?;
    chart
        .configure_mesh()
        .x_desc(plot.x)
        .y_desc(plot.y)
        .x_labels(LABELS)
        .y_labels(LABELS)
        .x_label_formatter(&|x| number(*x))
        .y_label_formatter(&|y| number(*y))
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .label_style(TEXT)
        .draw()?;
    for (curve, color) in plot.curves.iter().zip(COLORS) {
        chart
            .draw_series(LineSeries::new(
                curve.points.iter().copied(),
                color.stroke_width(2),
            ))?
            .label(curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color.stroke_width(2)));
        let marks = curve.points.iter().filter(|_| curve.points.len() < 20);
        chart.draw_series(marks.map(|point| Circle::new(*point, 3, color.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(plot.legend.clone())
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .label_font(FONT)
        .draw()?;
    Ok(())
}

/// Formats a number on an axis, without trailing zeros.
pub(crate) fn number(number: f64) -> String {
    let rounded = format!("{number:.2}");
    let significant = rounded.trim_end_matches('0').trim_end_matches('.');
    significant.to_owned()
}
