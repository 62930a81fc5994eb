//! What a run has shown: plain data, which `examples/scenarios.rs` and
//! `examples/plots.rs` read again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Every run: the broker, the floor and the reference take turns.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Comparison {
    pub(crate) broker: Vec<Report>,
    pub(crate) floor: Vec<Report>,
    /// The broker's CPU a request over the floor's, one for each repetition.
    pub(crate) floor_ratios: Vec<f64>,
    #[serde(default)]
    pub(crate) reference: Vec<Report>,
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The broker, the floor, or the reference.
    pub(crate) server: String,
    /// From the start of the program to its first response; `None` of one that ran
    /// already.
    pub(crate) start_up_seconds: Option<f64>,
    pub(crate) memory: Option<Memory>,
    pub(crate) parked_polls: usize,
    pub(crate) measured: Measured,
    /// Of clients that were matched.
    pub(crate) latency: Latency,
    /// Of the run, warm-up and end included.
    #[serde(default)]
    pub(crate) handshakes: Handshakes,
    /// What became of every request of the run, warm-up and end included.
    pub(crate) outcomes: BTreeMap<String, u64>,
    /// Answers that the broker took and that no client got.
    pub(crate) lost: u64,
    pub(crate) correct: bool,
    /// How the run went on, if that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) samples: Vec<Sample>,
}

/// TLS handshakes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Handshakes {
    pub(crate) all: u64,
    /// Those that resumed a session.
    pub(crate) resumed: u64,
}

/// Resident memory of the server, in bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) before: u64,
    pub(crate) with_parked_polls: u64,
    pub(crate) per_parked_poll: Option<f64>,
}

/// What was measured between the end of the warm-up and the end of the schedule.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

/// A part of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// When it ended, from the first client on.
    pub(crate) at_seconds: f64,
    pub(crate) seconds: f64,
    /// What became of the requests that ended in it.
    pub(crate) outcomes: BTreeMap<String, u64>,
    /// Of the clients that were matched in it.
    pub(crate) latency: Latency,
    pub(crate) cpu_seconds: Option<f64>,
    /// Resident memory of the server at its end, in bytes.
    pub(crate) memory: Option<u64>,
    /// Polls without a response at its end.
    pub(crate) polling: usize,
}
