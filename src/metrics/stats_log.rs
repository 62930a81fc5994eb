//! The metrics log that Tor's CollecTor reads: one block of lines a window. Its readers
//! also rely on the order of the lines, so the order must not change.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Write};
use std::time::{Duration, SystemTime};

use super::distinct_ips::UniqueIps;
use super::labels::Rendezvous;
use super::rounded::Rounded;
use super::timestamp;
use super::window::WindowCounts;
use crate::geoip::CountryCode;
use crate::wire::nat::NatType;
use crate::wire::proxy::ProxyType;

/// The content of a block. Counts are rounded when it is written, except those of proxy
/// addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsBlock {
    /// The end of the window.
    pub end: SystemTime,
    /// The length of the window, written in whole seconds.
    pub length: Duration,
    /// The counts of the window.
    pub counts: WindowCounts,
    /// The addresses of the proxies that polled.
    pub ips: UniqueIps,
    /// The types with a line of their own, besides the five that always have one.
    pub types: Vec<ProxyType>,
}

/// The proxy types that always have a line, by name.
pub(super) const ALWAYS: [ProxyType; 5] = [
    ProxyType::BADGE,
    ProxyType::BLOCO,
    ProxyType::IPTPROXY,
    ProxyType::STANDALONE,
    ProxyType::WEBEXT,
];

/// The lines of denied clients by NAT, which follow the line of all.
const DENIED: [(&str, NatType); 6] = [
    ("client-restricted-denied-count", NatType::Restricted),
    ("client-unrestricted-denied-count", NatType::Unrestricted),
    ("client-nat-strict-denied-count", NatType::Strict),
    ("client-nat-moderate-denied-count", NatType::Moderate),
    ("client-nat-open-denied-count", NatType::Open),
    ("client-nat-unknown-denied-count", NatType::Unknown),
];

/// The order of the `snowflake-ips-nat-` lines.
const IPS_NATS: [NatType; 6] = [
    NatType::Restricted,
    NatType::Unrestricted,
    NatType::Unknown,
    NatType::Strict,
    NatType::Moderate,
    NatType::Open,
];

impl StatsBlock {
    /// The lines as they are appended to the log, each with a line end.
    pub fn encode(&self) -> String {
        let mut lines = Lines::default();
        lines.end(self.end, self.length);
        lines.proxies(&self.ips, &self.types);
        lines.proxy_polls(&self.counts);
        lines.denied(&self.counts.denied);
        lines.client_polls(&self.counts);
        for nat in IPS_NATS {
            let count = count_of(&self.ips.by_nat, &nat);
            lines.add(format_args!("snowflake-ips-nat-{nat}"), count);
        }
        lines.0
    }
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn end(&mut self, end: SystemTime, length: Duration) {
        let end = timestamp::date_and_time(end);
        let seconds = length.as_secs();
        self.add("snowflake-stats-end", format_args!("{end} ({seconds} s)"));
    }

    fn proxies(&mut self, ips: &UniqueIps, more: &[ProxyType]) {
        let by_country = ips.by_country.iter().map(|(code, count)| (*code, *count));
        self.add("snowflake-ips", largest_first(by_country));
        let types: BTreeSet<ProxyType> = more.iter().copied().chain(ALWAYS).collect();
        for proxy_type in types {
            let count = count_of(&ips.by_type, &proxy_type);
            self.add(format_args!("snowflake-ips-{proxy_type}"), count);
        }
        self.add("snowflake-ips-total", ips.total);
    }

    fn proxy_polls(&mut self, counts: &WindowCounts) {
        for (keyword, count) in [
            ("snowflake-idle-count", counts.idle),
            (
                "snowflake-proxy-poll-with-relay-url-count",
                counts.with_relay_pattern,
            ),
            (
                "snowflake-proxy-poll-without-relay-url-count",
                counts.without_relay_pattern,
            ),
            (
                "snowflake-proxy-rejected-for-relay-url-count",
                counts.rejected_relay_pattern,
            ),
        ] {
            self.add(keyword, Rounded::from(count));
        }
    }

    fn denied(&mut self, denied: &BTreeMap<NatType, u64>) {
        self.add("client-denied-count", sum(denied.values()));
        for (keyword, nat) in DENIED {
            self.add(keyword, Rounded::from(count_of(denied, &nat)));
        }
    }

    fn client_polls(&mut self, counts: &WindowCounts) {
        self.add(
            "client-snowflake-match-count",
            Rounded::from(counts.matched),
        );
        self.add(
            "client-snowflake-timeout-count",
            Rounded::from(counts.timed_out),
        );
        for rendezvous in Rendezvous::ALL {
            self.rendezvous(rendezvous, counts.client_polls.get(&rendezvous));
        }
    }

    fn rendezvous(&mut self, name: Rendezvous, polls: Option<&BTreeMap<CountryCode, u64>>) {
        let polls = || polls.into_iter().flatten();
        let count = sum(polls().map(|(_, count)| count));
        let by_country = polls().map(|(code, count)| (*code, Rounded::from(*count).get()));
        self.add(format_args!("client-{name}-count"), count);
        self.add(format_args!("client-{name}-ips"), largest_first(by_country));
    }

    fn add(&mut self, keyword: impl Display, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{keyword} {value}");
    }
}

/// `CC=N,CC=N`, the largest count first, equal counts by code.
struct CountryList(Vec<(CountryCode, u64)>);

fn largest_first(counts: impl Iterator<Item = (CountryCode, u64)>) -> CountryList {
    let mut counts: Vec<(CountryCode, u64)> = counts.collect();
    counts.sort_by_key(|(code, count)| (Reverse(*count), *code));
    CountryList(counts)
}

impl Display for CountryList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (code, count)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{code}={count}")?;
        }
        Ok(())
    }
}

fn count_of<L: Ord>(counts: &BTreeMap<L, u64>, label: &L) -> u64 {
    counts.get(label).copied().unwrap_or(0)
}

/// The rounded sum; the counts themselves are not rounded first.
fn sum<'a>(counts: impl Iterator<Item = &'a u64>) -> Rounded {
    counts
        .fold(0, |sum: u64, count| sum.saturating_add(*count))
        .into()
}
