//! The plot of a run.

use std::path::Path;

use anyhow::Result;
use plotters::chart::SeriesLabelPosition;

use crate::curves::{self, Curve, Plot, Scales};
use crate::samples::{Sample, to_float};
use crate::slope::Slope;

/// The number of points of a curve, each the mean of the samples at that time.
const POINTS: usize = 360;
/// The fewest samples of a rate, as A's page is a second old at times.
const OF_RATE: usize = 5;

/// Draws memory with its line, files and matches over time.
pub(crate) fn draw(samples: &[Sample], slope: Option<Slope>, file: &Path) -> Result<()> {
    let curve = |name, of: fn(&Sample) -> f64| Curve::new(name, means(samples, of));
    let mut memory = vec![
        curve("resident", Sample::megabytes),
        curve("of it its own (PSS)", |sample| to_float(sample.pss) / 1e6),
    ];
    if let Some(Slope { line, ends }) = slope {
        let ends = ends.map(|hours| (hours * 60.0, line.at(hours)));
        memory.push(Curve::new("regression of resident", ends.into()));
    }
    let plot = |title, y, legend, curves| Plot {
        title,
        x: "minutes",
        y,
        scales: Scales::Linear,
        legend,
        curves,
    };
    let plots = [
        plot("Memory", "MB", SeriesLabelPosition::LowerRight, memory),
        plot(
            "Open files and parked polls",
            "number",
            SeriesLabelPosition::MiddleRight,
            vec![
                curve("open files", |sample| to_float(sample.files)),
                curve("parked polls", |sample| to_float(sample.parked)),
                curve("threads", |sample| to_float(sample.threads)),
            ],
        ),
        plot(
            "Answered clients",
            "a second",
            SeriesLabelPosition::UpperRight,
            vec![Curve::new("clients", rates(samples))],
        ),
    ];
    curves::draw(&plots, file)
}

/// The means of neighboring samples.
fn means(samples: &[Sample], of: fn(&Sample) -> f64) -> Vec<(f64, f64)> {
    let groups = samples.chunks(group(samples));
    let mean = |group: &[Sample], of: &dyn Fn(&Sample) -> f64| {
        let sum: f64 = group.iter().map(of).sum();
        sum / group.iter().map(|_| 1.0).sum::<f64>()
    };
    let point = |group| {
        (
            mean(group, &|sample| sample.hours() * 60.0),
            mean(group, &of),
        )
    };
    groups.map(point).collect()
}

/// The answered clients a second, between one group of samples and the next.
fn rates(samples: &[Sample]) -> Vec<(f64, f64)> {
    let firsts: Vec<_> = samples
        .iter()
        .step_by(group(samples).max(OF_RATE))
        .collect();
    let rate = |pair: &[&Sample]| {
        let [one, next] = [pair[0], pair[1]];
        let clients = to_float(next.matches - one.matches);
        (next.hours() * 60.0, clients / (next.at - one.at))
    };
    firsts.windows(2).map(rate).collect()
}

fn group(samples: &[Sample]) -> usize {
    samples.len().div_ceil(POINTS).max(1)
}
