//! The results of a run: plain data, which `examples/scenarios.rs` and
//! `examples/plots.rs` read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All runs. The broker and those that it is compared with run in turns.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Comparison {
    pub(crate) broker: Vec<Report>,
    pub(crate) floor: Vec<Report>,
    /// The broker's CPU a request divided by the floor's, for each repetition.
    pub(crate) floor_ratios: Vec<f64>,
    /// An earlier build of the broker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) earlier: Vec<Report>,
    #[serde(default)]
    pub(crate) reference: Vec<Report>,
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// `broker`, `floor`, `earlier build` or `reference`.
    pub(crate) server: String,
    /// The time from the start of the program to its first response; `None` if it was
    /// already running.
    pub(crate) start_up_seconds: Option<f64>,
    pub(crate) memory: Option<Memory>,
    pub(crate) parked_polls: usize,
    pub(crate) measured: Measured,
    /// The latency of matched clients.
    pub(crate) latency: Latency,
    /// The TLS handshakes of the run, including warm-up and end.
    #[serde(default)]
    pub(crate) handshakes: Handshakes,
    /// The outcomes of all requests of the run, including warm-up and end.
    pub(crate) outcomes: BTreeMap<String, u64>,
    /// Answers that the broker accepted but no client got.
    pub(crate) lost: u64,
    pub(crate) correct: bool,
    /// Samples over the run, if requested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) samples: Vec<Sample>,
}

/// TLS handshakes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Handshakes {
    pub(crate) all: u64,
    /// Handshakes that resumed a session.
    pub(crate) resumed: u64,
}

/// Resident memory of the server, in bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) before: u64,
    pub(crate) with_parked_polls: u64,
    pub(crate) per_parked_poll: Option<f64>,
}

/// The figures between the end of the warm-up and the end of the schedule.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) matches: u64,
    pub(crate) matches_per_second: f64,
    /// Proxy polls, client polls and answers.
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
    /// The time of its end, since the first client.
    pub(crate) at_seconds: f64,
    pub(crate) seconds: f64,
    /// The outcomes of the requests that ended in it.
    pub(crate) outcomes: BTreeMap<String, u64>,
    /// The latency of the clients matched in it.
    pub(crate) latency: Latency,
    pub(crate) cpu_seconds: Option<f64>,
    /// Resident memory of the server at its end, in bytes.
    pub(crate) memory: Option<u64>,
    /// Polls without a response at its end.
    pub(crate) polling: usize,
}
