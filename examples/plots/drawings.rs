//! The plot of each scenario.

use std::path::Path;

use anyhow::Result;
use plotters::chart::SeriesLabelPosition;

use crate::bars::{self, Bars};
use crate::curves::{self, Curve, Plot, Scales};
use crate::figures::{Figure, cpu_a_match, memory_a_poll, p50, p99, p999, start_up, to_float};
use crate::report::Sample;
use crate::results::{Results, Row, Scenario};

/// The factor by which CPU a match may grow.
const GROWTH: f64 = 1.3;

/// Draws the results to a file, unless their table suffices.
pub(crate) fn draw(results: &Results, file: &Path) -> Result<()> {
    match results.scenario {
        Scenario::Match => beside_others(
            results,
            "CPU a match, 400 proxies and 100 clients at saturation",
            "us of CPU a match",
            cpu_a_match,
            file,
        ),
        Scenario::Connections => beside_others(
            results,
            "CPU a match, a connection for each of its three requests",
            "us of CPU a match",
            cpu_a_match,
            file,
        ),
        Scenario::Memory => beside_others(
            results,
            "Memory a parked poll",
            "KB of resident memory a parked poll",
            memory_a_poll,
            file,
        ),
        Scenario::Growth => growth(results, file),
        Scenario::Latency => latency(results, file),
        Scenario::DayCalm | Scenario::DayShutdown => day(results, file),
        Scenario::Start => start(results, file),
        Scenario::Idle => Ok(()),
    }
}

fn beside_others(
    results: &Results,
    title: &str,
    unit: &str,
    figure: Figure,
    file: &Path,
) -> Result<()> {
    let rows = &results.rows;
    let of = |figure_of: &dyn Fn(&Row) -> Option<f64>| rows.iter().map(figure_of).collect();
    let series: [(_, Vec<_>); 3] = [
        ("this broker", of(&|row| row.broker(figure))),
        ("the floor", of(&|row| row.floor(figure))),
        ("the reference broker", of(&|row| row.reference(figure))),
    ];
    let measured = |(_, lengths): &(_, Vec<Option<f64>>)| lengths.iter().any(Option::is_some);
    bars::draw(
        &Bars {
            title,
            unit,
            rows: rows.iter().map(|row| &*row.name).collect(),
            series: series.into_iter().filter(measured).collect(),
        },
        file,
    )
}

fn start(results: &Results, file: &Path) -> Result<()> {
    let rows = &results.rows;
    bars::draw(
        &Bars {
            title: "Start of the program to its first response",
            unit: "ms",
            rows: rows.iter().map(|row| &*row.name).collect(),
            series: vec![(
                "this broker",
                rows.iter().map(|row| row.broker(start_up)).collect(),
            )],
        },
        file,
    )
}

fn growth(results: &Results, file: &Path) -> Result<()> {
    let cpu = points(results, cpu_a_match);
    let first = cpu.first().map_or(0.0, |(_, cpu)| *cpu);
    let limit = cpu
        .iter()
        .map(|(polls, _)| (*polls, first * GROWTH))
        .collect();
    curves::draw(
        &[Plot {
            title: "CPU a match while polls are parked",
            x: "parked polls",
            y: "us of CPU a match",
            scales: Scales::LogarithmicX,
            legend: SeriesLabelPosition::LowerRight,
            curves: vec![
                Curve::new("CPU a match", cpu),
                Curve::new("1.3 times the first", limit),
            ],
        }],
        file,
    )
}

fn latency(results: &Results, file: &Path) -> Result<()> {
    let curve = |name, figure| Curve::new(name, points(results, figure));
    curves::draw(
        &[Plot {
            title: "From when a client was to come to its answer",
            x: "clients a second",
            y: "ms",
            scales: Scales::Logarithmic,
            legend: SeriesLabelPosition::UpperLeft,
            curves: vec![curve("p50", p50), curve("p99", p99), curve("p99.9", p999)],
        }],
        file,
    )
}

fn points(results: &Results, figure: Figure) -> Vec<(f64, f64)> {
    let point = |row: &Row| Some((to_float(row.at?), row.broker(figure)?));
    results.rows.iter().filter_map(point).collect()
}

fn day(results: &Results, file: &Path) -> Result<()> {
    let samples = &results.rows[0].runs.broker[0].samples;
    let curve = |name, value: &dyn Fn(&Sample) -> f64| {
        let point = |sample: &Sample| (sample.at_seconds / 60.0, value(sample));
        Curve::new(name, samples.iter().map(point).collect())
    };
    let rate = |outcomes: &'static [&'static str]| {
        move |sample: &Sample| {
            let count = outcomes
                .iter()
                .filter_map(|outcome| sample.outcomes.get(*outcome));
            to_float(count.sum()) / sample.seconds
        }
    };
    let requests = Plot {
        title: &results.rows[0].name,
        x: "minutes",
        y: "a second",
        scales: Scales::Linear,
        legend: SeriesLabelPosition::UpperLeft,
        curves: vec![
            curve("polls of proxies", &rate(&["poll_idle", "poll_matched"])),
            curve("clients matched", &rate(&["client_matched"])),
            curve("clients timed out", &rate(&["client_timed_out"])),
            curve("clients denied", &rate(&["client_denied"])),
        ],
    };
    let cpu = |sample: &Sample| sample.cpu_seconds.unwrap_or(0.0) / sample.seconds * 1e2;
    let taken = Plot {
        title: "What it takes",
        x: "minutes",
        y: "% of one processor, or MB",
        scales: Scales::Linear,
        legend: SeriesLabelPosition::MiddleRight,
        curves: vec![
            curve("CPU, %", &cpu),
            curve("memory, MB", &|sample| {
                to_float(sample.memory.unwrap_or(0)) / 1e6
            }),
        ],
    };
    curves::draw(&[requests, taken], file)
}
