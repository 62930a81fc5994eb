//! The figures of a report, computed from counts and clocks.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::peers::Load;
use crate::report::{Latency, Measured, Memory, Report, Sample};
use crate::run::Reading;
use crate::server::{Server, Usage};
use crate::table::to_float;
use crate::tally::{Counts, Outcome};

/// The server before and while polls are parked.
pub(crate) struct Parked {
    pub(crate) before: Option<Usage>,
    pub(crate) polls: usize,
    pub(crate) usage: Option<Usage>,
}

impl Report {
    pub(crate) fn new(
        name: &str,
        server: &Server,
        load: &Load,
        parked: &Parked,
        measured: Measured,
        samples: Vec<Sample>,
    ) -> Self {
        let counts = load.tally.counts();
        let reached = counts.of(Outcome::ClientMatched) + counts.of(Outcome::ClientCrossed);
        let lost = counts.of(Outcome::AnswerDelivered).saturating_sub(reached);
        let wrong = counts.of(Outcome::ClientCrossed) + counts.of(Outcome::PollDamaged) + lost;
        Self {
            server: name.to_owned(),
            start_up_seconds: server.start_up.map(|span| span.as_secs_f64()),
            memory: Memory::of(parked),
            parked_polls: parked.polls,
            measured,
            latency: Latency::of(&load.tally.latency()),
            handshakes: load.dialer.handshakes(),
            outcomes: counts.by_name(),
            lost,
            correct: wrong == 0,
            samples,
        }
    }
}

impl Measured {
    pub(crate) fn between(begin: &Reading, end: &Reading) -> Self {
        let seconds = (end.at - begin.at).as_secs_f64();
        let counts = end.counts.since(&begin.counts);
        let (matches, requests) = (counts.of(Outcome::ClientMatched), counts.requests());
        let cpu = end.cpu_since(begin);
        Self {
            seconds,
            matches,
            matches_per_second: to_float(matches) / seconds.max(f64::MIN_POSITIVE),
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

impl Memory {
    fn of(parked: &Parked) -> Option<Self> {
        let (before, usage) = parked.before.zip(parked.usage)?;
        let more = usage.memory.saturating_sub(before.memory);
        let polls = u64::try_from(parked.polls).unwrap_or(u64::MAX);
        Some(Self {
            before: before.memory,
            with_parked_polls: usage.memory,
            per_parked_poll: (polls > 0).then(|| to_float(more) / to_float(polls)),
        })
    }
}

impl Latency {
    pub(crate) fn of(latency: &Histogram<u64>) -> Self {
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

impl Counts {
    fn since(&self, begin: &Self) -> Self {
        Self(std::array::from_fn(|outcome| {
            self.0[outcome] - begin.0[outcome]
        }))
    }
}

impl Reading {
    pub(crate) fn cpu_since(&self, begin: &Self) -> Option<Duration> {
        let (end, begin) = (self.usage?, begin.usage?);
        Some(end.cpu.saturating_sub(begin.cpu))
    }
}

impl Sample {
    pub(crate) fn between(
        begin: &Reading,
        end: &Reading,
        since_start: Duration,
        latency: &Histogram<u64>,
    ) -> Self {
        Self {
            at_seconds: since_start.as_secs_f64(),
            seconds: (end.at - begin.at).as_secs_f64(),
            outcomes: end.counts.since(&begin.counts).by_name(),
            latency: Latency::of(latency),
            cpu_seconds: end.cpu_since(begin).map(|cpu| cpu.as_secs_f64()),
            memory: end.usage.map(|usage| usage.memory),
            polling: end.polling,
        }
    }
}
