//! What holds for connections.

use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use ipnet::IpNet;

use super::Settings;
use super::activity::Limits;

/// The largest head of a request that is read, in bytes. AMP carries a client's
/// poll of some 4 KB in the path.
const HEAD_MAX: u32 = 64 * 1024;
/// How often an HTTP/2 peer is asked whether it is still there.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long it may take to say so.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What holds for a connection from its beginning to its end.
pub(super) struct Rules {
    pub(super) settings: Settings,
    pub(super) exempt: Vec<IpNet>,
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<TokioExecutor>,
}

impl Rules {
    pub(super) fn new(settings: Settings, exempt: Vec<IpNet>) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            // Ours holds from the first byte on; see `activity`.
            .header_read_timeout(None)
            .max_buf_size(HEAD_MAX as usize);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(HEAD_MAX)
            .max_concurrent_streams(settings.http2_max_streams)
            .max_pending_accept_reset_streams(settings.http2_max_resets)
            .max_local_error_reset_streams(settings.http2_max_errors)
            .keep_alive_interval(HTTP2_PING_INTERVAL)
            .keep_alive_timeout(HTTP2_PING_TIMEOUT);
        Self {
            settings,
            exempt,
            http1,
            http2,
        }
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            head: self.settings.header_read_timeout,
            idle: self.settings.idle_timeout,
        }
    }
}
