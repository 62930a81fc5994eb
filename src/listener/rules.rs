//! Limits and time-outs of connections.

use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use ipnet::IpNet;

use super::activity::HEAD_MAX;
use super::identity::RemoteAddress;
use super::overdue::PhaseLimits;
use super::settings::Settings;
use super::streams::StreamExecutor;

/// The flow-control windows of HTTP/2: one body per stream, and a few per connection.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// The maximum number of response bytes that h2 buffers.
const STREAM_SEND_BUFFER: usize = 16 * 1024;

/// Pings that check whether an HTTP/2 peer is still there.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    /// The interval between pings.
    pub interval: Duration,
    /// The time-out of a reply.
    pub timeout: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(20),
            timeout: Duration::from_secs(10),
        }
    }
}

/// The limits and time-outs that apply to a connection for all its life.
pub(super) struct ConnectionRules {
    pub(super) settings: Settings,
    trusted: Vec<IpNet>,
    pub(super) http1: http1::Builder,
}

impl ConnectionRules {
    pub(super) fn new(settings: Settings, trusted: Vec<IpNet>) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            // Our own time-out applies from the first byte; see `activity`.
            .header_read_timeout(None)
            // A peer may close its sending side after a complete request and still gets
            // its response. The time limit is in `parking`.
            .half_close(true)
            .max_buf_size(HEAD_MAX as usize);
        Self {
            settings,
            trusted,
            http1,
        }
    }

    /// The maximum number of concurrent requests on one HTTP/2 connection.
    pub(super) fn max_streams(&self, is_exempt: bool) -> u32 {
        if is_exempt {
            self.settings.http2_max_streams_trusted
        } else {
            self.settings.http2_max_streams
        }
    }

    /// The HTTP/2 server for one connection, whose streams run on this executor.
    pub(super) fn http2(
        &self,
        executor: StreamExecutor,
        max_streams: u32,
        keep_alive: KeepAlive,
    ) -> http2::Builder<StreamExecutor> {
        let mut http2 = http2::Builder::new(executor);
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(HEAD_MAX)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(STREAM_SEND_BUFFER)
            .max_concurrent_streams(max_streams)
            .max_pending_accept_reset_streams(self.settings.http2_max_resets)
            .max_local_error_reset_streams(self.settings.http2_max_errors)
            .keep_alive_interval(keep_alive.interval)
            .keep_alive_timeout(keep_alive.timeout);
        http2
    }

    /// Returns true if the peer is one of our reverse proxies.
    pub(super) fn is_trusted(&self, peer: RemoteAddress) -> bool {
        let peer = peer.0.ip().to_canonical();
        self.trusted.iter().any(|net| net.contains(&peer))
    }

    pub(super) fn limits(&self) -> PhaseLimits {
        PhaseLimits {
            head: self.settings.header_read_timeout,
            idle: self.settings.idle_timeout,
        }
    }
}
