//! What a broker knows of bridges, relays, intervals and countries.

use std::net::IpAddr;
use std::sync::Arc;

use crate::bridges::BridgeList;
use crate::geoip::{CountryCode, GeoIp};
use crate::wire::proxy::ProxyPoll;
use crate::wire::relay_pattern::RelayPattern;

use super::PollInterval;

/// What the broker knows that can be replaced while it runs.
#[derive(Clone, Debug)]
pub struct Knowledge {
    /// The bridges that clients can ask for.
    pub bridges: BridgeList,
    /// What every proxy has to accept.
    pub allowed_relay_pattern: RelayPattern,
    /// What a proxy accepts that does not say.
    pub default_relay_pattern: RelayPattern,
    /// When proxies are told to poll again.
    pub poll_interval: PollInterval,
    /// Where addresses are.
    pub geoip: Arc<GeoIp>,
}

impl Knowledge {
    /// Where an address is; unknown without one.
    pub(super) fn country(&self, address: Option<IpAddr>) -> CountryCode {
        address.map_or(CountryCode::UNKNOWN, |address| self.geoip.lookup(address))
    }

    /// Whether the proxy may serve.
    pub(super) fn accepts(&self, poll: &ProxyPoll) -> bool {
        poll.accepted_relay_pattern
            .as_ref()
            .unwrap_or(&self.default_relay_pattern)
            .is_superset_of(&self.allowed_relay_pattern)
    }
}
