//! The results of a scenario: plain data, written by `examples/scenarios.rs` and read by
//! `examples/plots.rs`.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::report::Comparison;

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// CPU a match at saturation, compared with the floor.
    Match,
    /// CPU a connection, one for each request: no TLS, full and resumed TLS handshakes.
    Connections,
    /// Memory a parked poll; 50,000 polls over HTTP/2.
    Memory,
    /// CPU a match while 1,000 to 50,000 polls are parked.
    Growth,
    /// Latency of clients that arrive at fixed rates.
    Latency,
    /// A calm day, 2025-05-21, in ten minutes.
    DayCalm,
    /// A day of a shutdown in Iran, 2025-06-17, in ten minutes.
    DayShutdown,
    /// Time from the start of the program to its first response.
    Start,
    /// CPU while 10,000 polls are parked and no client comes.
    Idle,
}

impl Scenario {
    /// The name on the command line and in file names.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// A scenario that was run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) scenario: Scenario,
    /// True if it was measured, false if it was only tried.
    pub(crate) is_full: bool,
    pub(crate) machine: Machine,
    /// The size of the broker's program, in bytes.
    pub(crate) program_bytes: u64,
    pub(crate) rows: Vec<Row>,
}

/// The machine of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
}

/// One or several repetitions of the same run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// The command that produces a run.
    pub(crate) command: String,
    /// The x value if the rows are points of a curve: parked polls, or clients a second.
    pub(crate) at: Option<u64>,
    pub(crate) runs: Comparison,
}
