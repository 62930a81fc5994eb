//! What the operating system and the listener tell the metrics.

use std::sync::Arc;

use procfs::process::{LimitValue, Process};
use procfs::{page_size, ticks_per_second};

use crate::listener::Observer;
use crate::metrics::labels::HandshakeFailure;
use crate::metrics::{Metrics, ProcessFigures};

/// Counts connections.
pub(super) struct Connections(pub(super) Arc<Metrics>);

impl Observer for Connections {
    fn opened(&self) {
        self.0.connection_opened();
    }

    fn closed(&self) {
        self.0.connection_closed();
    }

    fn handshake_failed(&self, in_time: bool) {
        self.0.handshake_failed(if in_time {
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
