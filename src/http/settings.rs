//! What an operator can set about the HTTP front.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::listener::accounts::Bounds;

/// How requests are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The largest body that is read, in bytes; a larger one gets 400.
    pub max_body_bytes: usize,
    /// How many bytes of requests are held at once, with their heads: of those
    /// that are being read, and the polls of clients that wait. Whoever comes on
    /// top of it gets 503.
    ///
    /// The default is three times what 20,000 clients need that wait with 3 KB
    /// each; with the copies that are made of an offer on its way, memory stays
    /// below some 1 GB.
    pub max_bytes_in_flight: usize,
    /// How long a peer may take over the body of a request.
    #[serde(with = "crate::timespan")]
    pub body_read_timeout: Duration,
    /// How many proxies of ours (a CDN, a load balancer) are in front of the
    /// broker: so many of the last entries of `Forwarded` and
    /// `X-Forwarded-For` are believed. With 0 nothing in them is.
    pub trusted_hops: usize,
    /// The networks (CIDR) of these proxies. If there are any, a peer outside
    /// of them is not believed, and their own addresses in the headers are no
    /// hops. Empty: any peer is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Settings {
    /// Whether the forwarding headers of a peer with this address are believed.
    pub(super) fn believes(&self, peer: IpAddr) -> bool {
        self.trusted_hops > 0 && (self.trusted_proxies.is_empty() || self.is_trusted(peer))
    }

    /// Whether this is the address of a proxy of ours.
    pub(super) fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted_proxies
            .iter()
            .any(|net| net.contains(&address))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_body_bytes: 100_000,
            max_bytes_in_flight: Bounds::default().bytes,
            body_read_timeout: Duration::from_secs(10),
            trusted_hops: 1,
            trusted_proxies: Vec::new(),
        }
    }
}
