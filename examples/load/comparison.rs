//! All repetitions together, and the broker against the floor.

use std::fmt;

use crate::report::{Comparison, Report};

impl Comparison {
    pub(crate) fn new(broker: Vec<Report>, floor: Vec<Report>) -> Self {
        let ratios = broker.iter().zip(&floor).filter_map(|(broker, floor)| {
            let broker = broker.measured.cpu_micros_per_request?;
            let floor = floor.measured.cpu_micros_per_request?;
            Some(broker / floor)
        });
        Self {
            floor_ratios: ratios.collect(),
            broker,
            floor,
        }
    }

    /// Whether every client got its own answer, and every answer a client.
    pub(crate) fn is_correct(&self) -> bool {
        self.broker.iter().chain(&self.floor).all(|run| run.correct)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for run in self.broker.iter().chain(&self.floor) {
            writeln!(out, "{run}")?;
        }
        for (name, runs) in [("broker", &self.broker), ("floor", &self.floor)] {
            if runs.len() > 1 {
                summarize(out, name, runs)?;
            }
        }
        if let Some(ratios) = Extremes::of(self.floor_ratios.iter().copied()) {
            writeln!(out, "CPU a request, broker over floor: {ratios:.2}")?;
        }
        Ok(())
    }
}

fn summarize(out: &mut fmt::Formatter<'_>, name: &str, runs: &[Report]) -> fmt::Result {
    let rates = runs.iter().map(|run| run.measured.matches_per_second);
    let cpu = runs
        .iter()
        .filter_map(|run| run.measured.cpu_micros_per_match);
    let memory = runs
        .iter()
        .filter_map(|run| run.memory.as_ref()?.per_parked_poll);
    for (what, extremes) in [
        ("matches/s", Extremes::of(rates)),
        ("us of CPU a match", Extremes::of(cpu)),
        ("bytes a parked poll", Extremes::of(memory)),
    ] {
        if let Some(extremes) = extremes {
            writeln!(out, "{name}, {what}: {extremes:.1}")?;
        }
    }
    Ok(())
}

/// The least and the most of several figures.
struct Extremes {
    least: f64,
    most: f64,
}

impl Extremes {
    /// `None` of none.
    fn of(figures: impl Iterator<Item = f64>) -> Option<Self> {
        let each = figures.map(|figure| Self {
            least: figure,
            most: figure,
        });
        each.reduce(|one, other| Self {
            least: one.least.min(other.least),
            most: one.most.max(other.most),
        })
    }
}

impl fmt::Display for Extremes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = out.precision().unwrap_or(1);
        let Self { least, most } = self;
        write!(out, "{least:.digits$} at least, {most:.digits$} at most")
    }
}
