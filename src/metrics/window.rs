//! What the metrics log counts in a window, addresses aside.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::labels::{self, Rendezvous};
use crate::geoip::CountryCode;
use crate::wire::nat::NatType;

/// The counts of a window, none of them rounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowCounts {
    /// Proxies' polls that got no client.
    pub idle: u64,
    /// Proxies' polls with a relay pattern.
    pub with_relay_pattern: u64,
    /// Proxies' polls without one.
    pub without_relay_pattern: u64,
    /// Proxies' polls refused for theirs.
    pub rejected_relay_pattern: u64,
    /// Clients that got no proxy, by what they said of their NAT.
    #[serde(with = "labels")]
    pub denied: BTreeMap<NatType, u64>,
    /// Clients that got an answer.
    pub matched: u64,
    /// Clients whose proxy did not answer in time.
    pub timed_out: u64,
    /// Clients that are in one of the three counts above, by the way they came.
    /// Whoever sends something that is no poll, is turned away or leaves is no
    /// client here, as with the reference broker.
    #[serde(with = "labels")]
    pub client_polls: BTreeMap<Rendezvous, BTreeMap<CountryCode, u64>>,
}

impl WindowCounts {
    /// Counts a client's poll when it has ended.
    pub fn record_client_poll(&mut self, rendezvous: Rendezvous, country: CountryCode) {
        let by_country = self.client_polls.entry(rendezvous).or_default();
        *by_country.entry(country).or_default() += 1;
    }

    /// Counts a client that got no proxy.
    pub fn record_denied(&mut self, nat: NatType) {
        *self.denied.entry(nat).or_default() += 1;
    }
}
