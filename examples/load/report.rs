//! What a run has shown, as a table or as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::peers::Load;
use crate::run::Reading;
use crate::server::Usage;
use crate::tally::{Counts, Outcome, Tally};

/// One run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The broker, or the floor.
    pub(crate) server: String,
    pub(crate) memory: Option<Memory>,
    pub(crate) parked_polls: usize,
    pub(crate) measured: Measured,
    /// Of clients that were matched.
    pub(crate) latency: Latency,
    /// What became of every request of the run, warm-up and end included.
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    /// Answers that the broker took and that no client got.
    pub(crate) lost: u64,
    pub(crate) correct: bool,
}

/// Resident memory of the server, in bytes.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) before: u64,
    pub(crate) with_parked_polls: u64,
    pub(crate) per_parked_poll: Option<f64>,
}

/// What was measured between the end of the warm-up and the end of the schedule.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) matches: u64,
    pub(crate) matches_per_second: f64,
    /// Polls of proxies, polls of clients, answers.
    pub(crate) requests: u64,
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) cpu_micros_per_match: Option<f64>,
    pub(crate) cpu_micros_per_request: Option<f64>,
}

/// Quantiles, in microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

impl Measured {
    pub(crate) fn between(begin: &Reading, end: &Reading) -> Self {
        let seconds = (end.at - begin.at).as_secs_f64();
        let since = |count: fn(&Counts) -> u64| count(&end.counts) - count(&begin.counts);
        let matches = since(|counts| counts.of(Outcome::ClientMatched));
        let requests = since(Counts::requests);
        let cpu = end
            .cpu
            .zip(begin.cpu)
            .map(|(end, begin)| end.saturating_sub(begin));
        Self {
            seconds,
            matches,
            matches_per_second: to_float(matches) / seconds,
            requests,
            cpu_seconds: cpu.map(|cpu| cpu.as_secs_f64()),
            cpu_micros_per_match: cpu.and_then(|cpu| micros_per(cpu, matches)),
            cpu_micros_per_request: cpu.and_then(|cpu| micros_per(cpu, requests)),
        }
    }
}

fn micros_per(cpu: Duration, count: u64) -> Option<f64> {
    (count > 0).then(|| cpu.as_secs_f64() * 1e6 / to_float(count))
}

impl Latency {
    fn of(tally: &Tally) -> Self {
        let latency = tally.latency();
        Self {
            count: latency.len(),
            mean: latency.mean(),
            p50: latency.value_at_quantile(0.5),
            p90: latency.value_at_quantile(0.9),
            p99: latency.value_at_quantile(0.99),
            p999: latency.value_at_quantile(0.999),
            max: latency.max(),
        }
    }
}

impl Report {
    pub(crate) fn new(
        server: &str,
        load: &Load,
        before: Option<Usage>,
        parked_polls: usize,
        with_parked: Option<Usage>,
        measured: Measured,
    ) -> Self {
        let counts = load.tally.counts();
        let reached = counts.of(Outcome::ClientMatched) + counts.of(Outcome::ClientCrossed);
        let lost = counts.of(Outcome::AnswerDelivered).saturating_sub(reached);
        let wrong = counts.of(Outcome::ClientCrossed) + counts.of(Outcome::PollDamaged) + lost;
        Self {
            server: server.to_owned(),
            memory: before
                .zip(with_parked)
                .map(|(before, parked)| Memory::new(before, parked, parked_polls)),
            parked_polls,
            measured,
            latency: Latency::of(&load.tally),
            outcomes: counts.by_name(),
            lost,
            correct: wrong == 0,
        }
    }
}

impl Memory {
    fn new(before: Usage, parked: Usage, parked_polls: usize) -> Self {
        let more = parked.memory.saturating_sub(before.memory);
        let polls = u64::try_from(parked_polls).unwrap_or(u64::MAX);
        Self {
            before: before.memory,
            with_parked_polls: parked.memory,
            per_parked_poll: (polls > 0).then(|| to_float(more) / to_float(polls)),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "none of these comes near 2^52")]
pub(crate) fn to_float(number: u64) -> f64 {
    number as f64
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            measured, latency, ..
        } = self;
        writeln!(out, "{}", self.server)?;
        let rate = measured.matches_per_second;
        row(
            out,
            "matches",
            format_args!("{rate:.0}/s, {} in all", measured.matches),
        )?;
        if let (Some(of_match), Some(of_request)) = (
            measured.cpu_micros_per_match,
            measured.cpu_micros_per_request,
        ) {
            row(
                out,
                "CPU",
                format_args!("{of_match:.1} us a match, {of_request:.1} us a request"),
            )?;
        }
        row(
            out,
            "parked polls",
            format_args!("{} before the first client", self.parked_polls),
        )?;
        if let Some(memory) = &self.memory {
            let megabytes = to_float(memory.with_parked_polls) / 1e6;
            let each = memory.per_parked_poll.unwrap_or_default();
            row(
                out,
                "memory",
                format_args!("{megabytes:.1} MB, {each:.0} bytes a parked poll"),
            )?;
        }
        if latency.count > 0 {
            let millis = |micros: u64| to_float(micros) / 1e3;
            row(
                out,
                "latency",
                format_args!(
                    "p50 {:.1}, p90 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1} ms",
                    millis(latency.p50),
                    millis(latency.p90),
                    millis(latency.p99),
                    millis(latency.p999),
                    millis(latency.max),
                ),
            )?;
        }
        for (outcome, count) in self.outcomes.iter().filter(|(_, count)| **count > 0) {
            row(out, &outcome.replace('_', " "), format_args!("{count}"))?;
        }
        let verdict = if self.correct {
            "nothing lost, nothing crossed"
        } else {
            "WRONG: answers were lost, crossed or damaged"
        };
        row(out, "answers", format_args!("{verdict}"))
    }
}

fn row(out: &mut fmt::Formatter<'_>, name: &str, value: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(out, "  {name:<20} {value}")
}
