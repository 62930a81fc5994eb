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

/// The bytes of a body that an HTTP/2 peer may send before it is read: one body, and
/// on all streams of a connection a few.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// The bytes that h2 keeps of a response on its way.
const STREAM_SEND_BUFFER: usize = 16 * 1024;

/// The pings by which an HTTP/2 peer is asked whether it is still there.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    /// The time from one to the next.
    pub interval: Duration,
    /// The time that an answer may take.
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

/// The limits and time-outs of a connection from its beginning to its end.
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
            // Ours holds from the first byte on; see `activity`.
            .header_read_timeout(None)
            // Whoever has sent a whole request may have closed for that: it still gets
            // its response. For how long it waits at most: see `parking`.
            .half_close(true)
            .max_buf_size(HEAD_MAX as usize);
        Self {
            settings,
            trusted,
            http1,
        }
    }

    /// The number of requests that a peer may have under way on one HTTP/2 connection.
    pub(super) fn max_streams(&self, is_exempt: bool) -> u32 {
        if is_exempt {
            self.settings.http2_max_streams_trusted
        } else {
            self.settings.http2_max_streams
        }
    }

    /// The server of HTTP/2 on one connection, whose streams get this executor.
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

    /// Returns true if the peer is a reverse proxy of ours.
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
