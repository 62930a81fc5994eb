//! Rate-limited log lines about exports, so that a dead collector does not fill the log.

use std::fmt::Display;
use std::time::{Duration, Instant};

use tracing::Level;

use crate::telemetry::{Kind, LogLimit};

/// The minimum time between lines about one signal.
const PERIOD: Duration = Duration::from_mins(5);

/// Reports about the exports of one signal.
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

    /// Reports that an export failed and its data is lost.
    pub(super) fn failed(&self, error: &dyn Display) {
        if let Some(suppressed) = self.limit.admit((self.clock)()) {
            let signal = self.signal;
            tracing::warn!(suppressed, "{signal} cannot be exported: {error}");
        }
    }

    /// Reports that the collector rejected `count` parts of an export.
    pub(super) fn rejected(&self, count: i64) {
        if count > 0 {
            self.failed(&format_args!("the collector rejected {count}"));
        }
    }
}
