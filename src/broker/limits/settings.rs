//! Settings of limits.

use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::intermediaries::Intermediary;
use crate::report::{COUNT_MAX, SettingsReport};

/// The bounds of rates. With [`FACTORS`] they stay far from where nanoseconds overflow.
const RATES: RangeInclusive<u32> = 0..=1_000_000;
/// The bounds of bursts.
const BURSTS: RangeInclusive<u32> = 1..=1_000_000;
/// The bounds of [`Settings::intermediary_factor`].
const FACTORS: RangeInclusive<u32> = 1..=1_000;
/// The bounds of [`Settings::unconfirmed_factor`]: one quota is the peer's own.
const UNCONFIRMED_FACTORS: RangeInclusive<u32> = 2..=1_000;

/// The limits of the requests of one address. Each kind has a rate, which holds in
/// the long run, and a burst, which may come at once; a rate of 0 is no limit.
///
/// The defaults are far above what one proxy or client sends, because hundreds
/// share an address: a school, a carrier's NAT.
///
/// - An idle proxy polls every 20 s, 3 times a minute. 1,800 are 600 such
///   proxies, or 300 that poll every 10 s; a burst of 900 is three polls at once
///   from each of these, as when they all come back after an outage. Of the 812
///   polls a second of the largest broker, one address can make up 4 %.
/// - A client that gets no proxy tries again after 10 s, 6 times a minute. 600
///   are a hundred such clients behind one address without end. Who poses as
///   clients to list proxies learns 10 a second and address at most.
/// - A proxy answers at most once for each poll, so answers may be as many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Polls of proxies.
    pub proxy_polls_per_minute: u32,
    /// Polls of proxies at once.
    pub proxy_poll_burst: u32,
    /// Polls of clients.
    pub client_polls_per_minute: u32,
    /// Polls of clients at once.
    pub client_poll_burst: u32,
    /// Answers of proxies.
    pub answers_per_minute: u32,
    /// Answers of proxies at once.
    pub answer_burst: u32,
    /// So many times as much may come from an address that passes on the
    /// requests of many and does not say whose. A third to half of all clients
    /// come through AMP caches: at 100, one address of a cache may bring 1,000 a
    /// second, while the largest broker at its peak saw 400 from all of them.
    pub intermediary_factor: u32,
    /// The networks that AMP caches ask from.
    pub intermediaries: Vec<Intermediary>,
    /// So many times as much may come in all from a peer that says to forward for
    /// others, as long as `http.trusted_proxies` names nobody who does. With 10,
    /// one address of a CDN may bring 100 clients a second until its operator names
    /// it, and a stranger ten times what it may as itself.
    pub unconfirmed_factor: u32,
    /// The number of addresses that each of the three tables holds, of 32 bytes each: 16 for
    /// the address, and as many for the networks around it.
    pub max_addresses: usize,
    /// Networks (CIDR) that are not limited, neither in requests nor in
    /// connections.
    pub exempt: Vec<IpNet>,
}

impl Settings {
    /// Reports what is wrong.
    pub fn check(&self, report: &mut SettingsReport) {
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
