//! Log lines about exports: seldom, for a dead collector must not fill the log.

use std::fmt::Display;
use std::time::{Duration, Instant};

use tracing::Level;

use crate::telemetry::{Kind, LogLimit};

/// One line a signal in this time at most.
const PERIOD: Duration = Duration::from_mins(5);

/// Tells of one signal's exports.
#[derive(Debug)]
pub(super) struct ExportReport {
    signal: &'static str,
    limit: LogLimit,
    clock: fn() -> Instant,
}

impl ExportReport {
    pub(super) fn new(signal: &'static str, clock: fn() -> Instant) -> Self {
        let gist = format!("failed exports: {signal}").into();
        let level = Level::WARN;
        let kind = Kind { level, gist };
        Self {
            signal,
            limit: LogLimit::new(kind, 1, PERIOD),
            clock,
        }
    }

    /// An export has failed, and what was in it is lost.
    pub(super) fn failed(&self, error: &dyn Display) {
        if let Some(suppressed) = self.limit.admit((self.clock)()) {
            let signal = self.signal;
            tracing::warn!(suppressed, "{signal} cannot be exported: {error}");
        }
    }

    /// The collector took an export but for `count` of its parts.
    pub(super) fn rejected(&self, count: i64) {
        if count > 0 {
            self.failed(&format_args!("the collector rejected {count}"));
        }
    }
}
