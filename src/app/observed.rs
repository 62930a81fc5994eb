//! What the operating system and the listener tell the metrics.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use procfs::process::{LimitValue, Process};
use procfs::{page_size, ticks_per_second};

use crate::broker::clock;
use crate::listener::Observer;
use crate::metrics::labels::HandshakeFailure;
use crate::metrics::{Metrics, ProcessFigures};
use crate::telemetry::LogLimit;

/// Counts connections.
pub(super) struct Connections {
    metrics: Arc<Metrics>,
    failed_accepts: LogLimit,
}

impl Connections {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            failed_accepts: LogLimit::new(1, Duration::from_mins(1)),
        }
    }
}

impl Observer for Connections {
    fn opened(&self) {
        self.metrics.connection_opened();
    }

    fn closed(&self) {
        self.metrics.connection_closed();
    }

    fn accept_failed(&self, error: &io::Error) {
        if let Some(suppressed) = self.failed_accepts.admit(clock::now()) {
            tracing::warn!(%error, suppressed, "cannot accept connections, trying again");
        }
    }

    fn handshake_failed(&self, in_time: bool) {
        self.metrics.handshake_failed(if in_time {
            HandshakeFailure::Error
        } else {
            HandshakeFailure::Timeout
        });
    }
}

/// The figures of this process, or none where `/proc` does not tell.
pub(super) fn process_figures() -> Option<ProcessFigures> {
    let process = Process::myself().ok()?;
    let stat = process.stat().ok()?;
    let max_fds = match process.limits().ok()?.max_open_files.soft_limit {
        LimitValue::Unlimited => u64::MAX,
        LimitValue::Value(limit) => limit,
    };
    Some(ProcessFigures {
        cpu_seconds: seconds(stat.utime + stat.stime),
        resident_memory_bytes: stat.rss * page_size(),
        virtual_memory_bytes: stat.vsize,
        open_fds: u64::try_from(process.fd_count().ok()?).unwrap_or(u64::MAX),
        max_fds,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 ticks are three million years"
)]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / ticks_per_second() as f64
}
