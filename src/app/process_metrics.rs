//! Metrics of the process and of the listener.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::interval;
use tracing::Level;

use crate::broker::clock;
use crate::listener::accounts::Accounts;
use crate::listener::{DropCause, Observer};
use crate::metrics::labels::{self, HandshakeFailure};
use crate::metrics::recent::SAMPLE_INTERVAL;
use crate::metrics::{Metrics, ProcessFigures};
use crate::telemetry::{Kind, LogLimit};

const DROPPED: Kind = Kind::new(Level::INFO, "dropped connections");
const TLS_IN_THE_CLEAR: Kind = Kind::new(Level::WARN, "TLS handshakes on a port in the clear");
const NOT_ACCEPTED: Kind = Kind::new(Level::WARN, "failed accepts of connections");

use super::accounts;

/// Counts connections, and logs some of those ended by a limit, since anyone can provoke
/// any number.
pub(super) struct Connections {
    metrics: Arc<Metrics>,
    log_limit: LogLimit,
    failed_accepts: LogLimit,
    tls_in_the_clear: LogLimit,
}

impl Connections {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            log_limit: LogLimit::new(DROPPED, 10, Duration::from_mins(1)),
            failed_accepts: LogLimit::new(NOT_ACCEPTED, 1, Duration::from_mins(1)),
            tls_in_the_clear: LogLimit::new(TLS_IN_THE_CLEAR, 1, Duration::from_hours(1)),
        }
    }

    fn log(&self, why: &str) {
        if let Some(suppressed) = self.log_limit.admit(clock::now()) {
            tracing::info!(suppressed, "dropped a connection: {why}");
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

    fn dropped(&self, reason: DropCause) {
        let (label, limit) = match reason {
            DropCause::Connections => (
                labels::DropReason::Connections,
                Some("listener.max_connections"),
            ),
            DropCause::ConnectionsPerPeer => (
                labels::DropReason::ConnectionsPerPeer,
                Some("listener.max_connections_per_peer"),
            ),
            DropCause::ProxyProtocol => {
                self.metrics
                    .connection_dropped(labels::DropReason::ProxyProtocol);
                self.log("it has no PROXY header of one of http.trusted_proxies");
                return;
            }
            DropCause::HeadTimeout => (
                labels::DropReason::HeadTimeout,
                Some("listener.header_read_timeout"),
            ),
            // The usual end of a connection.
            DropCause::IdleTimeout => (labels::DropReason::IdleTimeout, None),
            DropCause::Http2Abuse => (
                labels::DropReason::Http2Abuse,
                Some("listener.http2_max_resets or another bound of HTTP/2"),
            ),
            DropCause::WriteTimeout => (
                labels::DropReason::WriteTimeout,
                Some("listener.write_timeout"),
            ),
            DropCause::Memory => (
                labels::DropReason::Memory,
                Some("its share of http.max_bytes_in_flight"),
            ),
            DropCause::Revoked => (labels::DropReason::Revoked, None),
        };
        self.metrics.connection_dropped(label);
        if let Some(limit) = limit {
            self.log(&format!("it is over {limit}"));
        }
    }

    fn accept_failed(&self, error: &io::Error) {
        if let Some(suppressed) = self.failed_accepts.admit(clock::now()) {
            tracing::warn!(%error, suppressed, "cannot accept connections, will try again");
        }
    }

    fn handshake_failed(&self, error: Option<&io::Error>) {
        self.metrics.handshake_failed(if error.is_some() {
            HandshakeFailure::Error
        } else {
            self.log("it is over listener.tls_handshake_timeout");
            HandshakeFailure::Timeout
        });
    }

    fn tls_in_the_clear(&self) {
        if let Some(suppressed) = self.tls_in_the_clear.admit(clock::now()) {
            tracing::warn!(
                suppressed,
                "received TLS on a port that is served without it: if your reverse proxy sends \
                 it, let it forward to http://"
            );
        }
    }
}

/// Logs some of the connections to the operator's addresses that a limit ended. They are
/// not counted: the metrics are about clients and proxies.
pub(super) struct OperatorConnections {
    dropped: LogLimit,
    failed_accepts: LogLimit,
    tls_in_the_clear: LogLimit,
}

impl OperatorConnections {
    pub(super) fn new() -> Self {
        Self {
            dropped: LogLimit::new(
                Kind::new(Level::INFO, "closed connections of operators"),
                1,
                Duration::from_mins(1),
            ),
            failed_accepts: LogLimit::new(
                Kind::new(Level::WARN, "failures to accept connections of operators"),
                1,
                Duration::from_mins(1),
            ),
            tls_in_the_clear: LogLimit::new(TLS_IN_THE_CLEAR, 1, Duration::from_hours(1)),
        }
    }
}

impl Observer for OperatorConnections {
    fn opened(&self) {}

    fn closed(&self) {}

    fn dropped(&self, reason: DropCause) {
        let is_full = matches!(
            reason,
            DropCause::Connections | DropCause::ConnectionsPerPeer
        );
        if is_full && let Some(suppressed) = self.dropped.admit(clock::now()) {
            tracing::warn!(
                suppressed,
                "operator.listen: dropped a connection: too many are open"
            );
        }
    }

    fn accept_failed(&self, error: &io::Error) {
        if let Some(suppressed) = self.failed_accepts.admit(clock::now()) {
            tracing::warn!(%error, suppressed, "operator.listen: cannot accept connections, will try again");
        }
    }

    fn handshake_failed(&self, _error: Option<&io::Error>) {}

    fn tls_in_the_clear(&self) {
        if let Some(suppressed) = self.tls_in_the_clear.admit(clock::now()) {
            tracing::warn!(
                suppressed,
                "operator.listen: received TLS on a port that is served without it"
            );
        }
    }
}

/// Keeps the metrics of the last hour. Never returns.
pub(super) async fn sample(metrics: Arc<Metrics>, held: Arc<Accounts>) {
    let mut ticks = interval(SAMPLE_INTERVAL);
    loop {
        ticks.tick().await;
        metrics.sample(clock::now());
        metrics.memory_sampled(accounts::figures(&held).await);
    }
}

/// The metrics of this process; `None` if `/proc` does not reveal them.
pub(super) fn process_figures() -> Option<ProcessFigures> {
    // In pages: all memory, and what of it is resident.
    let memory = fs::read_to_string("/proc/self/statm").ok()?;
    let mut bytes = memory
        .split(' ')
        .map_while(|pages| pages.parse::<u64>().ok())
        .map(|pages| pages * page_size() as u64);
    let open_fds = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(ProcessFigures {
        cpu_seconds: cpu_time()?.as_secs_f64(),
        virtual_memory_bytes: bytes.next()?,
        resident_memory_bytes: bytes.next()?,
        open_fds: u64::try_from(open_fds).unwrap_or(u64::MAX),
        max_fds: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
    })
}

/// The time that all threads of this process ran, in it and in the kernel.
fn cpu_time() -> Option<Duration> {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).ok()
}
