//! The directory: bridges, relay patterns, poll intervals, countries and the policy.

use std::net::IpAddr;
use std::sync::Arc;

use crate::bridges::BridgeList;
use crate::geoip::GeoIp;
use crate::policy::{Policy, Whereabouts};
use crate::wire::proxy::ProxyPoll;
use crate::wire::relay_pattern::RelayPattern;

use super::poll_interval::PollInterval;

/// The data that the broker looks up, which can be replaced while it runs.
#[derive(Clone, Debug)]
pub struct Directory {
    /// The bridges that clients can ask for.
    pub bridges: BridgeList,
    /// The relays that every proxy has to accept.
    pub allowed_relay_pattern: RelayPattern,
    /// The relays that a proxy is taken to accept if its poll does not say. If unset, it
    /// serves only where the Tor Project's bridge is the only one.
    pub default_relay_pattern: Option<RelayPattern>,
    /// The poll intervals.
    pub poll_interval: PollInterval,
    /// The databases of countries and autonomous systems.
    pub geoip: Arc<GeoIp>,
    /// The rules of who shall be matched with whom.
    pub policy: Arc<Policy>,
}

impl Default for Directory {
    /// The Tor Project's bridge for every proxy, without countries and rules.
    fn default() -> Self {
        Self {
            bridges: BridgeList::default(),
            allowed_relay_pattern: "".into(),
            default_relay_pattern: Some("".into()),
            poll_interval: PollInterval::default(),
            geoip: Arc::default(),
            policy: Arc::default(),
        }
    }
}

impl Directory {
    /// The country and the autonomous system of an address, as far as they are known.
    pub(super) fn whereabouts(&self, address: Option<IpAddr>) -> Whereabouts {
        let known = address.map(|address| Whereabouts {
            address: Some(address),
            country: self.geoip.lookup(address),
            asn: self.geoip.asn(address),
        });
        known.unwrap_or_default()
    }

    /// The same, as far as the policy needs it.
    pub(super) fn whereabouts_by_rules(&self, address: Option<IpAddr>) -> Whereabouts {
        self.whereabouts(address.filter(|_| !self.policy.is_empty()))
    }

    /// Returns true if the proxy's relay pattern allows it to serve. Proxies so old that
    /// they send none connect to the Tor Project's bridge whatever the client asks for.
    pub(super) fn accepts(&self, poll: &ProxyPoll) -> bool {
        let sent = poll.accepted_relay_pattern.as_ref();
        match sent.or(self.default_relay_pattern.as_ref()) {
            Some(pattern) => pattern.is_superset_of(&self.allowed_relay_pattern),
            None => self.bridges.is_tors_alone(),
        }
    }
}
