//! All repetitions, with the broker compared with the others.

use std::fmt;

use crate::report::{Comparison, Report};

impl Comparison {
    /// The same, with the broker over the floor.
    pub(crate) fn with_ratios(self) -> Self {
        Self {
            floor_ratios: cpu_ratios(&self.broker, &self.floor),
            ..self
        }
    }

    /// Returns true if every client got its own answer, and every answer reached a
    /// client. What others made is not judged.
    pub(crate) fn is_correct(&self) -> bool {
        self.broker.iter().chain(&self.floor).all(|run| run.correct)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = [
            ("broker", &self.broker),
            ("floor", &self.floor),
            ("earlier build", &self.earlier),
            ("reference", &self.reference),
        ];
        for (_, runs) in servers {
            for run in runs {
                writeln!(out, "{run}")?;
            }
        }
        for (name, runs) in servers {
            if runs.len() > 1 {
                summarize(out, name, runs)?;
            }
        }
        for (name, runs) in &servers[1..] {
            let ratios = cpu_ratios(&self.broker, runs);
            if let Some(ratios) = Extremes::of(ratios.into_iter()) {
                writeln!(out, "CPU a request, broker over {name}: {ratios:.2}")?;
            }
        }
        Ok(())
    }
}

/// The broker's CPU a request divided by another server's, for each repetition.
fn cpu_ratios(broker: &[Report], other: &[Report]) -> Vec<f64> {
    let rounds = broker.iter().zip(other);
    let ratio = |(broker, other): (&Report, &Report)| {
        let broker = broker.measured.cpu_micros_per_request?;
        Some(broker / other.measured.cpu_micros_per_request?)
    };
    rounds.filter_map(ratio).collect()
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

/// The smallest and the largest of several figures.
struct Extremes {
    least: f64,
    most: f64,
}

impl Extremes {
    /// Finds the extremes; `None` if there are no figures.
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
