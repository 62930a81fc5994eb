//! Settings of the HTTP front.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::listener::accounts::{Bounds, SHARES};
use crate::report::{COUNT_MAX, SPAN, SettingsReport};

/// The bounds of [`Settings::trusted_hops`]. More of our own proxies in front of us would
/// be a mistake that lets clients choose their address.
const HOPS: RangeInclusive<usize> = 0..=16;

/// Limits of requests, and trust in their headers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The maximum size of a body in bytes; a larger body gets 400.
    pub max_body_bytes: usize,
    /// The maximum number of bytes of requests, including heads, that are held at once:
    /// requests being read and polls of waiting clients. A request over it gets 503.
    ///
    /// The default is three times what 20,000 waiting clients need with 3 KB each;
    /// including the temporary copies of offers, memory stays below about 1 GB.
    pub max_bytes_in_flight: usize,
    /// The time limit for receiving a body.
    #[serde(with = "crate::timespan")]
    pub body_read_timeout: Duration,
    /// The header in which a reverse proxy names the sender; no other is read.
    pub forwarded_by: ForwardedBy,
    /// The number of our reverse proxies (a CDN, a load balancer) in front of the broker:
    /// only that many entries at the end of the header are believed. 0 means that the
    /// header is ignored.
    pub trusted_hops: usize,
    /// The networks (CIDR) of these proxies. If set, the header is believed only from
    /// these networks, and their addresses in it do not count as hops. If empty, any peer
    /// may forward for others, but has only `limits.unconfirmed_factor` quotas for all of
    /// them.
    pub trusted_proxies: Vec<IpNet>,
    /// True if clients may come through AMP caches.
    pub amp: bool,
}

/// The header in which a reverse proxy names the sender of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ForwardedBy {
    /// `X-Forwarded-For`, a list that each proxy appends to.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239), also a list.
    Forwarded,
    /// No header: no peer forwards.
    None,
    /// A header with a single address, such as `CF-Connecting-IP`.
    Header(HeaderName),
}

/// The error for an invalid header name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be x-forwarded-for, forwarded, none or the name of another header, not {0:?}")]
pub struct InvalidForwardedBy(String);

impl TryFrom<String> for ForwardedBy {
    type Error = InvalidForwardedBy;

    fn try_from(written: String) -> Result<Self, Self::Error> {
        match HeaderName::try_from(&written) {
            Ok(name) => Ok(match name.as_str() {
                "x-forwarded-for" => Self::XForwardedFor,
                "forwarded" => Self::Forwarded,
                "none" => Self::None,
                _ => Self::Header(name),
            }),
            Err(_) => Err(InvalidForwardedBy(written)),
        }
    }
}

impl From<ForwardedBy> for String {
    fn from(header: ForwardedBy) -> Self {
        match &header {
            ForwardedBy::XForwardedFor => "x-forwarded-for",
            ForwardedBy::Forwarded => "forwarded",
            ForwardedBy::None => "none",
            ForwardedBy::Header(name) => name.as_str(),
        }
        .to_owned()
    }
}

impl Settings {
    /// Reports mistakes.
    pub fn check(&self, report: &mut SettingsReport) {
        report.within("max_body_bytes", self.max_body_bytes, &(1..=COUNT_MAX));
        report.within("body_read_timeout", self.body_read_timeout, &SPAN);
        report.within("trusted_hops", self.trusted_hops, &HOPS);
        report.networks("trusted_proxies", &self.trusted_proxies);
        let is_everybody = |network: &IpNet| network.prefix_len() == 0;
        if self.trusted_proxies.iter().any(is_everybody) {
            report.warn(
                &["trusted_proxies"],
                "believes everybody, who may then claim any address: name your reverse proxies",
            );
        }
        // Otherwise no body would fit into the share of one address.
        let [share, ..] = SHARES;
        let least = self.max_body_bytes.saturating_mul(2 * share);
        if self.max_bytes_in_flight < least {
            report.refuse(
                &["max_bytes_in_flight", "max_body_bytes"],
                format!(
                    "must be at least {least}: one address gets a {share}th of it, which has to \
                     hold a body of http.max_body_bytes and its head"
                ),
            );
        }
    }

    /// Returns true if a forwarding header is ever believed.
    pub fn reads_headers(&self) -> bool {
        self.trusted_hops > 0 && self.forwarded_by != ForwardedBy::None
    }

    /// Returns true if this is an address of our own proxies.
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
            forwarded_by: ForwardedBy::XForwardedFor,
            trusted_hops: 1,
            trusted_proxies: Vec::new(),
            amp: true,
        }
    }
}
