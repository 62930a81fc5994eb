//! Sockets and connections: accept, TLS, HTTP/1.1 and HTTP/2, time limits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where and how connections are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address and port; without an address, all of them, IPv6 and IPv4.
    pub addr: String,
    /// How long a peer may take over the TLS handshake.
    #[serde(with = "crate::timespan")]
    pub tls_handshake_timeout: Duration,
    /// How long a peer may take over the head of a request.
    #[serde(with = "crate::timespan")]
    pub header_read_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            addr: ":443".to_owned(),
            tls_handshake_timeout: Duration::from_secs(10),
            header_read_timeout: Duration::from_secs(10),
        }
    }
}
