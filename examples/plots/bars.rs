//! Horizontal bars, one group for each row.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::curves::{COLORS, FONT, GRID, HEADING, TEXT, number};

const WIDTH: u32 = 860;
/// Height of a group of bars.
const GROUP_HEIGHT: u32 = 74;
/// Number of groups that would fit into the space of the legend.
const LEGEND_GROUPS: u32 = 1;
/// Height of title, axis and margins.
const FRAME_HEIGHT: u32 = 120;
/// Width of the rows' names.
const NAMES_WIDTH: u32 = 220;
/// The part of a group that its bars fill.
const FILLED: f64 = 0.75;
/// Space on the right for the figure of the longest bar.
const HEADROOM: f64 = 1.12;

/// The bars to draw.
pub(crate) struct Bars<'a> {
    pub(crate) title: &'a str,
    pub(crate) unit: &'a str,
    pub(crate) rows: Vec<&'a str>,
    /// The name of each series, and the length of its bar in each group; `None` if
    /// unknown.
    pub(crate) series: Vec<(&'a str, Vec<Option<f64>>)>,
}

/// Draws the bars to a file, with the first row on top.
pub(crate) fn draw(bars: &Bars<'_>, file: &Path) -> Result<()> {
    let rows = u32::try_from(bars.rows.len())?;
    let groups = rows + LEGEND_GROUPS;
    let size = (WIDTH, groups * GROUP_HEIGHT + FRAME_HEIGHT);
    let root = SVGBackend::new(file, size).into_drawing_area();
    root.fill(&WHITE)?;
    let lengths = bars.series.iter().flat_map(|(_, lengths)| lengths);
    let longest = lengths.flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
    let mut chart = ChartBuilder::on(&root)
        .caption(bars.title, HEADING)
        .margin(14)
        .margin_right(28)
        .x_label_area_size(46)
        .y_label_area_size(NAMES_WIDTH)
        .build_cartesian_2d(0.0..longest * HEADROOM, f64::from(groups)..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .y_labels(0)
        .x_desc(bars.unit)
        .x_label_formatter(&|x| number(*x))
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .label_style(TEXT)
        .draw()?;
    let right = TEXT
        .into_text_style(&root)
        .pos(Pos::new(HPos::Right, VPos::Center));
    chart.draw_series((0..rows).zip(&bars.rows).map(|(row, name)| {
        let place = EmptyElement::at((0.0, f64::from(row) + 0.5));
        place + Text::new((*name).to_owned(), (-10, 0), right.clone())
    }))?;
    let height = FILLED / f64::from(u32::try_from(bars.series.len())?);
    let left = TEXT
        .into_text_style(&root)
        .pos(Pos::new(HPos::Left, VPos::Center));
    for ((index, (name, lengths)), color) in (0_u32..).zip(&bars.series).zip(COLORS) {
        let top = f64::midpoint(0.0, 1.0 - FILLED) + height * f64::from(index);
        let bar = |row: u32, length: f64| {
            let top = f64::from(row) + top;
            Rectangle::new([(0.0, top), (length, top + height)], color.filled())
        };
        let known = || {
            (0..rows)
                .zip(lengths)
                .filter_map(|(row, length)| Some((row, (*length)?)))
        };
        chart
            .draw_series(known().map(|(row, length)| bar(row, length)))?
            .label(*name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], color.filled()));
        chart.draw_series(known().map(|(row, length)| {
            let place = EmptyElement::at((length, f64::from(row) + top + height / 2.0));
            place + Text::new(short(length), (5, 0), left.clone())
        }))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .border_style(BLACK)
        .label_font(FONT)
        .draw()?;
    Ok(root.present()?)
}

/// Formats a figure with about three digits.
fn short(figure: f64) -> String {
    if figure < 10.0 {
        format!("{figure:.2}")
    } else if figure < 100.0 {
        format!("{figure:.1}")
    } else {
        format!("{figure:.0}")
    }
}
