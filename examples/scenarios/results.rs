//! What a scenario has shown: plain data, written by `examples/scenarios.rs` and read
//! by `examples/plots.rs`.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::report::Comparison;

/// Something to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// CPU a match at saturation, beside the floor.
    Match,
    /// CPU a connection, one for each request: plain, full and resumed TLS handshakes.
    Connections,
    /// Memory a parked poll; 50,000 of them over HTTP/2.
    Memory,
    /// CPU a match while 1,000 to 50,000 polls are parked.
    Growth,
    /// Latency of clients that come at fixed rates.
    Latency,
    /// A calm day, 2025-05-21, in ten minutes.
    DayCalm,
    /// A day of a shutdown in Iran, 2025-06-17, in ten minutes.
    DayShutdown,
    /// From the start of the program to its first response.
    Start,
    /// CPU while 10,000 polls are parked and nobody comes.
    Idle,
}

impl Scenario {
    /// As it is written on the command line, and in names of files.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// A scenario that was run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) scenario: Scenario,
    /// Whether it was measured, or only tried.
    pub(crate) is_full: bool,
    pub(crate) machine: Machine,
    /// The size of the broker's program, in bytes.
    pub(crate) program_bytes: u64,
    pub(crate) rows: Vec<Row>,
}

/// What it was run on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
}

/// The same runs once or several times.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// What a run is made by.
    pub(crate) command: String,
    /// What it is a measurement of, where rows are points of a curve: parked polls,
    /// or clients a second.
    pub(crate) at: Option<u64>,
    pub(crate) runs: Comparison,
}
