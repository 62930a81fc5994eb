//! The record of a peer's recent answers.

use std::time::{Duration, Instant};

/// The weight of the newest call: about the last twenty calls count.
const NEWEST: f64 = 0.1;
/// The half-life of the record. A peer that is hardly asked because of its failures could
/// not show that they are over, yet must be back in use within 5 s.
const HALF_LIFE: Duration = Duration::from_secs(1);

/// Moving averages over recent calls. Each connection begins with a new record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    /// The share of failed calls.
    failures: f64,
    /// The latency of answers, in seconds; `None` before the first.
    latency: Option<f64>,
    /// The end of the last call.
    heard: Option<Instant>,
}

impl Record {
    pub(super) fn answered(&mut self, now: Instant, took: Duration) {
        let left = self.left(now);
        self.failures *= left * (1.0 - NEWEST);
        let took = took.as_secs_f64();
        let before = self.latency.unwrap_or(took);
        self.latency = Some(took + (before - took) * left * (1.0 - NEWEST));
        self.heard = Some(now);
    }

    pub(super) fn failed(&mut self, now: Instant) {
        let before = self.failures * self.left(now);
        self.failures = before + (1.0 - before) * NEWEST;
        self.heard = Some(now);
    }

    /// The value of a free proxy of this peer, from 0 to 1. A second of latency halves
    /// it.
    pub(super) fn weight(&self, now: Instant) -> f64 {
        let left = self.left(now);
        (1.0 - self.failures * left) / (1.0 + self.latency.unwrap_or(0.0) * left)
    }

    pub(super) fn latency(&self) -> Option<Duration> {
        self.latency.map(Duration::from_secs_f64)
    }

    /// The remaining significance of the record, from 0 to 1.
    fn left(&self, now: Instant) -> f64 {
        let age = self
            .heard
            .map_or(Duration::ZERO, |heard| now.saturating_duration_since(heard));
        (-age.div_duration_f64(HALF_LIFE)).exp2()
    }
}
