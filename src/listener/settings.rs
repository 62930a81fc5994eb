//! Settings of connections.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host_port::{self, is_address};
use crate::report::{COUNT_MAX, SPAN, SettingsReport};

/// The names of sockets passed by a service manager.
pub const SOCKETS: [&str; 5] = ["http", "acme", "admin", "federation", "operator"];

/// The bounds of [`Settings::http2_max_streams`] and the like.
const STREAMS: RangeInclusive<u32> = 1..=1_000_000;
/// The bounds of [`Settings::http2_max_resets`] and the like.
const RESETS: RangeInclusive<usize> = 1..=COUNT_MAX;

/// The public address, and the limits on connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The address and port; without an address, all addresses, IPv6 and IPv4.
    pub addr: String,
    /// The [`SOCKETS`] that the service manager is expected to pass; the broker warns at
    /// startup if one is missing.
    pub expected_sockets: Vec<String>,
    /// True if every connection begins with a PROXY header.
    pub proxy_protocol: bool,
    /// The maximum number of open connections; more are closed at once. 0 means no limit.
    pub max_connections: usize,
    /// The maximum number of connections from one address (IPv6: one /64). Many users
    /// share an address, and a CDN uses few addresses. 0 means no limit.
    pub max_connections_per_peer: usize,
    /// The maximum number of bytes for connections, requests and responses together, as
    /// far as the broker accounts for them; above it the largest account pays. `None`
    /// means half of the machine's memory, or of the cgroup's limit if that is lower.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_high_water: Option<usize>,
    /// The time limit for the TLS handshake.
    #[serde(with = "crate::timespan")]
    pub tls_handshake_timeout: Duration,
    /// The time limit for receiving a request's head.
    #[serde(with = "crate::timespan")]
    pub header_read_timeout: Duration,
    /// The time that an idle connection is kept open between requests. Proxies poll every
    /// 20 s.
    #[serde(with = "crate::timespan")]
    pub idle_timeout: Duration,
    /// The time limit for the peer to accept each 10 KiB of a response (or all of a
    /// shorter one). After it, the stream or the connection is closed.
    #[serde(with = "crate::timespan")]
    pub write_timeout: Duration,
    /// The maximum number of concurrent requests on one HTTP/2 connection.
    pub http2_max_streams: u32,
    /// The same maximum for reverse proxies in front of the broker and other exempt
    /// peers: behind a CDN, hundreds of parked polls share a connection.
    pub http2_max_streams_trusted: u32,
    /// The maximum number of streams that a peer may reset before we have handled them,
    /// as in a rapid reset attack (CVE-2023-44487). One more ends the connection.
    pub http2_max_resets: usize,
    /// The maximum number of streams on one connection that we reset because of the
    /// peer's errors. One more ends the connection.
    pub http2_max_errors: usize,
}

impl Settings {
    /// Reports mistakes.
    pub fn check(&self, report: &mut SettingsReport) {
        if !is_address(&self.addr) {
            report.refuse(&["addr"], host_port::EXPECTED);
        }
        let mut expected = self.expected_sockets.iter();
        let unknown = expected.find(|name| !SOCKETS.contains(&name.as_str()));
        let problem =
            unknown.map(|name| format!("must name only {}, not {name:?}", SOCKETS.join(", ")));
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
