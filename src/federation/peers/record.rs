//! The record of a peer's answers of late.

use std::time::{Duration, Instant};

/// The weight of the newest call: the last twenty or so tell.
const NEWEST: f64 = 0.1;
/// In which time half of what the last calls tell is forgotten. Who is hardly asked
/// for its failures could not show that they are over, and is to be back in use
/// within 5 s.
const HALF_LIFE: Duration = Duration::from_secs(1);

/// Averages over the last calls, the newer the heavier. A connection begins with a
/// record of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    /// The share of calls that came to nothing.
    failures: f64,
    /// The time that an answer takes, in seconds; `None` before the first.
    latency: Option<f64>,
    /// When the last call ended.
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

    /// From 0 to 1: what a free proxy of this peer is worth. A second of latency
    /// halves it.
    pub(super) fn weight(&self, now: Instant) -> f64 {
        let left = self.left(now);
        (1.0 - self.failures * left) / (1.0 + self.latency.unwrap_or(0.0) * left)
    }

    pub(super) fn latency(&self) -> Option<Duration> {
        self.latency.map(Duration::from_secs_f64)
    }

    /// From 0 to 1: how much of what was heard still tells anything.
    fn left(&self, now: Instant) -> f64 {
        let age = self
            .heard
            .map_or(Duration::ZERO, |heard| now.saturating_duration_since(heard));
        (-age.div_duration_f64(HALF_LIFE)).exp2()
    }
}
