//! Settings of the HTTP front.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::listener::accounts::{Bounds, SHARES};
use crate::report::{COUNT_MAX, SPAN, SettingsReport};

/// The bounds of [`Settings::trusted_hops`]: more of our own proxies in front of us are a
/// mistake that lets clients choose their address.
const HOPS: RangeInclusive<usize> = 0..=16;

/// Bounds of requests, and trust in their headers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The largest body that is read, in bytes; a larger one gets 400.
    pub max_body_bytes: usize,
    /// The most bytes of requests that are held at once, with their heads: of those
    /// that are being read, and the polls of clients that wait. Whoever comes on top
    /// of it gets 503.
    ///
    /// The default is three times what 20,000 clients need that wait with 3 KB
    /// each; with the copies that are made of an offer on its way, memory stays
    /// below some 1 GB.
    pub max_bytes_in_flight: usize,
    /// The time that a peer may take over the body of a request.
    #[serde(with = "crate::timespan")]
    pub body_read_timeout: Duration,
    /// The header that says whose requests a peer forwards; no other is read.
    pub forwarded_by: ForwardedBy,
    /// The number of proxies of ours (a CDN, a load balancer) in front of the broker:
    /// so many of the last entries of the header are believed. With 0 nothing in it
    /// is.
    pub trusted_hops: usize,
    /// The networks (CIDR) of these proxies. If there are any, a peer outside
    /// of them is not believed, and their own addresses in the header are no
    /// hops. Empty: any peer may claim to forward for others, but has only
    /// `limits.unconfirmed_factor` quotas for all of them.
    pub trusted_proxies: Vec<IpNet>,
    /// Clients may come through AMP caches.
    pub amp: bool,
}

/// The header in which a reverse proxy names whose request it forwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ForwardedBy {
    /// `X-Forwarded-For`, a list that each proxy appends to.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239), likewise.
    Forwarded,
    /// None: nobody forwards.
    None,
    /// One that holds one address, such as `CF-Connecting-IP`.
    Header(HeaderName),
}

/// Not the name of a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a header; expected x-forwarded-for, forwarded, none or another one")]
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
    /// Reports what is wrong.
    pub fn check(&self, report: &mut SettingsReport) {
        report.within("max_body_bytes", self.max_body_bytes, &(1..=COUNT_MAX));
        report.within("body_read_timeout", self.body_read_timeout, &SPAN);
        report.within("trusted_hops", self.trusted_hops, &HOPS);
        // No body could ever be read from the share of one address.
        let [share, ..] = SHARES;
        let least = self.max_body_bytes.saturating_mul(2 * share);
        if self.max_bytes_in_flight < least {
            report.refuse(
                &["max_bytes_in_flight", "max_body_bytes"],
                format!(
                    "must be at least {least}: one address has a {share}th of it, and a body of \
                     http.max_body_bytes has to fit in with its head"
                ),
            );
        }
    }

    /// Returns true if any header is believed of anybody.
    pub fn reads_headers(&self) -> bool {
        self.trusted_hops > 0 && self.forwarded_by != ForwardedBy::None
    }

    /// Returns true if this is the address of a proxy of ours.
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
