//! Figures of a scenario's rows: medians over their runs.

use crate::report::{Handshakes, Measured, Report};
use crate::results::Row;

/// A figure of one run.
pub(crate) type Figure = fn(&Report) -> Option<f64>;

impl Row {
    /// The broker's median.
    pub(crate) fn broker(&self, figure: Figure) -> Option<f64> {
        median(self.runs.broker.iter().filter_map(figure))
    }

    /// The floor's median.
    pub(crate) fn floor(&self, figure: Figure) -> Option<f64> {
        median(self.runs.floor.iter().filter_map(figure))
    }

    /// The reference's median.
    pub(crate) fn reference(&self, figure: Figure) -> Option<f64> {
        median(self.runs.reference.iter().filter_map(figure))
    }

    /// The median of the broker's figure divided by the reference's, round by round.
    pub(crate) fn over_reference(&self, figure: Figure) -> Option<f64> {
        over(&self.runs.broker, &self.runs.reference, figure)
    }

    /// The median of the broker's figure divided by the earlier build's, round by round.
    pub(crate) fn over_earlier(&self, figure: Figure) -> Option<f64> {
        over(&self.runs.broker, &self.runs.earlier, figure)
    }

    /// The median of the broker's CPU a request divided by the floor's.
    pub(crate) fn over_floor(&self) -> Option<f64> {
        median(self.runs.floor_ratios.iter().copied())
    }

    /// The median of the broker's figure divided by that of another row, round by round.
    pub(crate) fn over(&self, other: &Self, figure: Figure) -> Option<f64> {
        over(&self.runs.broker, &other.runs.broker, figure)
    }
}

fn over(runs: &[Report], others: &[Report], figure: Figure) -> Option<f64> {
    let rounds = runs.iter().zip(others);
    median(rounds.filter_map(|(run, other)| Some(figure(run)? / figure(other)?)))
}

/// The median; `None` if there are no figures.
fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    let upper = figures.get(figures.len() / 2)?;
    let lower = figures[(figures.len() - 1) / 2];
    Some(f64::midpoint(lower, *upper))
}

/// CPU a match in microseconds.
pub(crate) fn cpu_a_match(run: &Report) -> Option<f64> {
    run.measured.cpu_micros_per_match
}

/// CPU a request in microseconds; includes a connection if each request has its own.
pub(crate) fn cpu_a_request(run: &Report) -> Option<f64> {
    run.measured.cpu_micros_per_request
}

/// CPU as a share of one processor.
pub(crate) fn cpu_share(run: &Report) -> Option<f64> {
    Some(run.measured.cpu_seconds? / run.measured.seconds)
}

pub(crate) fn matches_per_second(run: &Report) -> Option<f64> {
    let Measured {
        matches, seconds, ..
    } = run.measured;
    (seconds > 0.0).then(|| to_float(matches) / seconds)
}

pub(crate) fn requests_per_second(run: &Report) -> Option<f64> {
    let Measured {
        requests, seconds, ..
    } = run.measured;
    (seconds > 0.0).then(|| to_float(requests) / seconds)
}

/// The percentage of TLS handshakes that resumed a session.
pub(crate) fn resumed(run: &Report) -> Option<f64> {
    let Handshakes { all, resumed } = run.handshakes;
    (all > 0).then(|| to_float(resumed) / to_float(all) * 1e2)
}

/// Memory a parked poll in kilobytes.
pub(crate) fn memory_a_poll(run: &Report) -> Option<f64> {
    Some(run.memory.as_ref()?.per_parked_poll? / 1e3)
}

/// Time to the first response in milliseconds.
pub(crate) fn start_up(run: &Report) -> Option<f64> {
    Some(run.start_up_seconds? * 1e3)
}

/// Median latency in milliseconds.
pub(crate) fn p50(run: &Report) -> Option<f64> {
    millis(run, run.latency.p50)
}

/// The 99th percentile of latency in milliseconds.
pub(crate) fn p99(run: &Report) -> Option<f64> {
    millis(run, run.latency.p99)
}

/// The 99.9th percentile of latency in milliseconds.
pub(crate) fn p999(run: &Report) -> Option<f64> {
    millis(run, run.latency.p999)
}

fn millis(run: &Report, micros: u64) -> Option<f64> {
    (run.latency.count > 0).then(|| to_float(micros) / 1e3)
}

#[expect(clippy::cast_precision_loss, reason = "none of these comes near 2^52")]
pub(crate) fn to_float(number: u64) -> f64 {
    number as f64
}
