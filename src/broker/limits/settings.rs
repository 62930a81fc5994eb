//! Settings of limits.

use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::intermediaries::Intermediary;
use crate::report::{COUNT_MAX, SettingsReport};

/// The bounds of rates. Multiplied by [`FACTORS`] they do not overflow nanoseconds.
const RATES: RangeInclusive<u32> = 0..=1_000_000;
/// The bounds of bursts.
const BURSTS: RangeInclusive<u32> = 1..=1_000_000;
/// The bounds of [`Settings::intermediary_factor`].
const FACTORS: RangeInclusive<u32> = 1..=1_000;
/// The bounds of [`Settings::unconfirmed_factor`]: one quota is the remote address's own.
const UNCONFIRMED_FACTORS: RangeInclusive<u32> = 2..=1_000;

/// Limits on the requests of one address. Each kind of request has a long-term rate and a
/// burst that may come at once; a rate of 0 disables the limit.
///
/// The defaults are far above what one proxy or client sends, because hundreds of them
/// may share an address, such as a school or a carrier's NAT.
///
/// - An idle proxy polls every 20 s, 3 times a minute. 1,800 polls are those of 600 such
///   proxies, or of 300 that poll every 10 s. A burst of 900 is three polls at once from
///   each of these 300, when they all return after an outage. One address can make up 4 %
///   of the 812 polls a second of the largest broker.
/// - A client that gets no proxy retries after 10 s, 6 times a minute. 600 polls are
///   those of a hundred such clients behind one address. Someone who poses as clients to
///   enumerate proxies learns at most 10 a second for each address.
/// - A proxy answers at most once for each poll, so the limits of answers are the same as
///   those of polls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Proxy polls a minute.
    pub proxy_polls_per_minute: u32,
    /// Proxy polls at once.
    pub proxy_poll_burst: u32,
    /// Client polls a minute.
    pub client_polls_per_minute: u32,
    /// Client polls at once.
    pub client_poll_burst: u32,
    /// Proxy answers a minute.
    pub answers_per_minute: u32,
    /// Proxy answers at once.
    pub answer_burst: u32,
    /// Multiple of the quota for an address that forwards the requests of many senders
    /// without naming them. A third to half of all clients come through AMP caches. At
    /// 100, one address of a cache may bring 1,000 a second; the largest broker's peak
    /// was 400 from all cache addresses together.
    pub intermediary_factor: u32,
    /// The networks from which AMP caches send requests.
    pub intermediaries: Vec<Intermediary>,
    /// Multiple of the quota, in all, for a remote address that claims to forward for
    /// others while `http.trusted_proxies` names no reverse proxies. At 10, one address
    /// of a CDN may bring 100 clients a second until its operator names it, and a
    /// stranger ten times its own quota.
    pub unconfirmed_factor: u32,
    /// The number of addresses that each of the three tables holds, at 32 bytes each: 16
    /// for the address, and 16 for the networks around it.
    pub max_addresses: usize,
    /// Networks (CIDR) that are exempt from the limits of requests and connections.
    pub exempt: Vec<IpNet>,
}

impl Settings {
    /// Reports invalid settings.
    pub fn check(&self, report: &mut SettingsReport) {
        report.networks("exempt", &self.exempt);
        let rates = [
            ("proxy_polls_per_minute", self.proxy_polls_per_minute, RATES),
            ("proxy_poll_burst", self.proxy_poll_burst, BURSTS),
            (
                "client_polls_per_minute",
                self.client_polls_per_minute,
                RATES,
            ),
            ("client_poll_burst", self.client_poll_burst, BURSTS),
            ("answers_per_minute", self.answers_per_minute, RATES),
            ("answer_burst", self.answer_burst, BURSTS),
            ("intermediary_factor", self.intermediary_factor, FACTORS),
            (
                "unconfirmed_factor",
                self.unconfirmed_factor,
                UNCONFIRMED_FACTORS,
            ),
        ];
        for (key, rate, bounds) in rates {
            report.within(key, rate, &bounds);
        }
        report.within("max_addresses", self.max_addresses, &(1..=COUNT_MAX));
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            proxy_polls_per_minute: 1_800,
            proxy_poll_burst: 900,
            client_polls_per_minute: 600,
            client_poll_burst: 300,
            answers_per_minute: 1_800,
            answer_burst: 900,
            intermediary_factor: 100,
            intermediaries: vec![Intermediary::Google],
            unconfirmed_factor: 10,
            max_addresses: 131_072,
            exempt: Vec::new(),
        }
    }
}
