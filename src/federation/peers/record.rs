//! How a peer has answered of late.

use std::time::Duration;

/// How much the newest call weighs: the last twenty or so tell.
const NEWEST: f64 = 0.1;

/// Averages over the last calls, the newer the heavier. A connection begins with a
/// record of its own: who is hardly asked for the failures of the last one could not
/// show that they are over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    /// The share of calls that came to nothing.
    failures: f64,
    /// How long an answer takes, in seconds; `None` before the first.
    latency: Option<f64>,
}

impl Record {
    pub(super) fn answered(&mut self, took: Duration) {
        self.failures -= self.failures * NEWEST;
        let took = took.as_secs_f64();
        let before = self.latency.unwrap_or(took);
        self.latency = Some(before + (took - before) * NEWEST);
    }

    pub(super) fn failed(&mut self) {
        self.failures += (1.0 - self.failures) * NEWEST;
    }

    /// From 0 to 1: what a free proxy of this peer is worth. A second of latency
    /// halves it.
    pub(super) fn weight(&self) -> f64 {
        (1.0 - self.failures) / (1.0 + self.latency.unwrap_or(0.0))
    }

    pub(super) fn latency(&self) -> Option<Duration> {
        self.latency.map(Duration::from_secs_f64)
    }
}
