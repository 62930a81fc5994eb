//! Settings of connections.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host_port::{self, is_address};
use crate::report::{COUNT_MAX, SPAN, SettingsReport};

/// The names by which a service manager passes sockets.
pub const SOCKETS: [&str; 5] = ["http", "acme", "admin", "federation", "operator"];

/// The bounds of [`Settings::http2_max_streams`] and its like.
const STREAMS: RangeInclusive<u32> = 1..=1_000_000;
/// The bounds of [`Settings::http2_max_resets`] and its like.
const RESETS: RangeInclusive<usize> = 1..=COUNT_MAX;

/// The address at which connections are taken, and their limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address and port; without an address, all of them, IPv6 and IPv4.
    pub addr: String,
    /// Which of [`SOCKETS`] the service manager is to pass; the broker warns of one that
    /// is missing when it starts.
    pub expected_sockets: Vec<String>,
    /// True if every connection begins with a PROXY header.
    pub proxy_protocol: bool,
    /// The number of connections that may be open; what comes on top is closed at once. 0
    /// is no limit.
    pub max_connections: usize,
    /// The number of them from one address (IPv6: one /64). Many share an address,
    /// and a CDN has few. 0 is no limit.
    pub max_connections_per_peer: usize,
    /// Bytes that connections, requests and responses may take in all, as far as
    /// the broker counts them; above it the largest account pays. `None` is half of
    /// the machine's memory, or of what the cgroup allows if that is less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_high_water: Option<usize>,
    /// The time that a peer may take over the TLS handshake.
    #[serde(with = "crate::timespan")]
    pub tls_handshake_timeout: Duration,
    /// The time that a peer may take over the head of a request.
    #[serde(with = "crate::timespan")]
    pub header_read_timeout: Duration,
    /// The time that a connection is kept open between two requests. Proxies poll
    /// every 20 s.
    #[serde(with = "crate::timespan")]
    pub idle_timeout: Duration,
    /// The time that a peer may take over each 10 KiB of a response, or what there is of
    /// one; after it the stream, or the connection, is closed.
    #[serde(with = "crate::timespan")]
    pub write_timeout: Duration,
    /// The number of requests that may be under way on one HTTP/2 connection.
    pub http2_max_streams: u32,
    /// The same for the proxies in front of the broker, and others that have no
    /// limits: behind a CDN hundreds of parked polls share a connection.
    pub http2_max_streams_trusted: u32,
    /// The number of streams that a peer may reset before we have looked at them, as in a
    /// rapid reset attack (CVE-2023-44487); one more ends the connection.
    pub http2_max_resets: usize,
    /// The number of streams of a connection that we reset for errors of the peer's; one
    /// more ends the connection.
    pub http2_max_errors: usize,
}

impl Settings {
    /// Reports what is wrong.
    pub fn check(&self, report: &mut SettingsReport) {
        if !is_address(&self.addr) {
            report.refuse(&["addr"], host_port::EXPECTED);
        }
        let mut expected = self.expected_sockets.iter();
        let unknown = expected.find(|name| !SOCKETS.contains(&name.as_str()));
        let problem = unknown.map(|name| format!("{name:?}: expected {}", SOCKETS.join(", ")));
        report.refuse_if("expected_sockets", problem);
        report.within("max_connections", self.max_connections, &(0..=COUNT_MAX));
        report.within(
            "max_connections_per_peer",
            self.max_connections_per_peer,
            &(0..=COUNT_MAX),
        );
        report.within("tls_handshake_timeout", self.tls_handshake_timeout, &SPAN);
        report.within("header_read_timeout", self.header_read_timeout, &SPAN);
        report.within("idle_timeout", self.idle_timeout, &SPAN);
        report.within("write_timeout", self.write_timeout, &SPAN);
        report.within("http2_max_streams", self.http2_max_streams, &STREAMS);
        report.within(
            "http2_max_streams_trusted",
            self.http2_max_streams_trusted,
            &STREAMS,
        );
        report.within("http2_max_resets", self.http2_max_resets, &RESETS);
        report.within("http2_max_errors", self.http2_max_errors, &RESETS);
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            addr: ":443".to_owned(),
            expected_sockets: Vec::new(),
            proxy_protocol: false,
            max_connections: 100_000,
            max_connections_per_peer: 5_000,
            memory_high_water: None,
            tls_handshake_timeout: Duration::from_secs(10),
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(10),
            http2_max_streams: 100,
            http2_max_streams_trusted: 1_000,
            http2_max_resets: 100,
            http2_max_errors: 1_000,
        }
    }
}
