//! Settings of the shares that sources of proxies have.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::requests::{Band, SourceRecord};
use crate::report::{COUNT_MAX, SettingsReport};

/// The bounds of limits; 0 switches one off. Multiplied by a source's share they do not
/// overflow.
const LIMITS: RangeInclusive<u32> = 0..=1_000_000;
/// The bounds of the multiples for networks.
const SHARES: RangeInclusive<u32> = 1..=1_000;

/// The clients a minute that a match which worked adds to a source's limit for an hour.
const GROWTH: u32 = 2;
/// The multiple of a source's limit up to which it grows.
const GROWTH_MAX: u32 = 10;

/// The bound of the number of networks with a multiple, which are gone through for each
/// poll.
const NETWORKS_MAX: usize = 256;
/// The longest prefix of IPv6 of which sources can be told apart.
const SOURCE_PREFIX: u8 = 64;

/// The most that one source may have: an address, or of IPv6 a /64.
///
/// Whoever polls most would otherwise get most. Order alone does not help while clients
/// wait, because then every poll gets one at once. With the defaults, one address gets less
/// than a hundredth of the clients of the large broker, and 16 less than an eighth
/// (`docs/matching.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SupplySettings {
    /// The clients of a source, among the recent ones of a pool, up to which its polls are
    /// served as they come. Then they come after those of all others.
    pub first_come: u32,
    /// The number of clients of a pool that are recent.
    pub recent_clients: usize,
    /// Clients a minute, before any has worked.
    pub matches_per_minute: u32,
    /// One in that many idle polls that get a client is of a source that is not known to be
    /// good, if there is one.
    pub explore_every: u32,
    /// Offers without an answer at a time.
    pub unanswered: u32,
    /// Parked polls.
    pub parked_per_source: u32,
    /// The multiple of a source's matches a minute, and of its share of the recent clients,
    /// for the network around it (/24, /48).
    pub sources_per_network: u32,
    /// Networks (CIDR) whose sources may have a multiple of all this.
    pub networks: BTreeMap<IpNet, u32>,
    /// The number of networks of clients whose last turn is remembered while none of theirs
    /// waits.
    pub max_client_networks: usize,
}

impl SupplySettings {
    /// Reports invalid settings.
    pub fn check(&self, report: &mut SettingsReport) {
        report.within("first_come", self.first_come, &LIMITS);
        report.within("recent_clients", self.recent_clients, &(0..=COUNT_MAX));
        report.within("matches_per_minute", self.matches_per_minute, &LIMITS);
        report.within("explore_every", self.explore_every, &LIMITS);
        report.within("unanswered", self.unanswered, &LIMITS);
        report.within("parked_per_source", self.parked_per_source, &LIMITS);
        report.within("sources_per_network", self.sources_per_network, &LIMITS);
        self.check_networks(report);
        report.within(
            "max_client_networks",
            self.max_client_networks,
            &(1..=COUNT_MAX),
        );
    }
}

impl SupplySettings {
    fn check_networks(&self, report: &mut SettingsReport) {
        if self.networks.len() > NETWORKS_MAX {
            let problem = format!(
                "must have {NETWORKS_MAX} networks or fewer, not {}",
                self.networks.len()
            );
            report.refuse(&["networks"], problem);
        }
        for (network, &share) in &self.networks {
            let key = format!("networks.{network}");
            report.within(&key, share, &SHARES);
            report.refuse_if(&key, fault(network));
        }
    }

    /// The multiple of the limits for an address: that of the smallest network around it.
    pub fn share_of(&self, address: IpAddr) -> u32 {
        let address = address.to_canonical();
        let around = self.networks.iter();
        let around = around.filter(|(network, _)| network.contains(&address));
        around
            .max_by_key(|(network, _)| network.prefix_len())
            .map_or(1, |(_, &share)| share)
    }
}

impl SupplySettings {
    /// The clients a minute of a source whose limit has grown by so many, up to ten times as
    /// many, so that a campus has room and whoever answers without connecting stays small.
    pub(super) fn matches_per_minute_after(&self, growth: u32) -> u32 {
        let most = self.matches_per_minute.saturating_mul(GROWTH_MAX);
        self.matches_per_minute.saturating_add(growth).min(most)
    }

    /// The clients up to which the polls of such a source are served as they come, which grow
    /// in the same proportion.
    pub(super) fn first_come_after(&self, growth: u32) -> u32 {
        let first_come = u64::from(self.first_come.max(1));
        let grown = u64::from(self.matches_per_minute_after(growth));
        let base = u64::from(self.matches_per_minute);
        let share = (first_come * grown).checked_div(base).unwrap_or(first_come);
        u32::try_from(share).unwrap_or(u32::MAX)
    }
}

/// The clients a minute by which the limit of a source has grown: two for each match of the last
/// hour that worked. A source that is not known to be good does not grow: some of an attacker's clients give
/// up, which looks as if their matches had worked.
pub(super) fn growth(record: SourceRecord) -> u32 {
    match record.band {
        Band::Good => record.worked.saturating_mul(GROWTH),
        Band::Unknown | Band::Bad => 0,
    }
}

/// The fault of a network that could not mean what it says.
fn fault(network: &IpNet) -> Option<String> {
    let whole = network.trunc();
    if whole != *network {
        return Some(format!("must be a whole network: {whole}"));
    }
    let IpNet::V6(network) = network else {
        return None;
    };
    if network.addr().to_ipv4_mapped().is_some() {
        return Some("must be a network of IPv4, or of IPv6 proper".to_owned());
    }
    let is_too_small = network.prefix_len() > SOURCE_PREFIX;
    is_too_small.then(|| format!("must be a /{SOURCE_PREFIX} or larger"))
}

impl Default for SupplySettings {
    fn default() -> Self {
        Self {
            first_come: 48,
            recent_clients: 10_000,
            matches_per_minute: 16,
            explore_every: 20,
            unanswered: 8,
            parked_per_source: 64,
            sources_per_network: 8,
            networks: BTreeMap::new(),
            max_client_networks: 200_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_that_mean_something_else_are_refused() {
        for (network, expected) in [
            ("192.0.2.0/24", None),
            ("192.0.2.7/32", None),
            ("2001:db8::/64", None),
            (
                "192.0.2.9/24",
                Some("must be a whole network: 192.0.2.0/24"),
            ),
            (
                "::ffff:192.0.2.0/120",
                Some("must be a network of IPv4, or of IPv6 proper"),
            ),
            ("2001:db8::1/128", Some("must be a /64 or larger")),
        ] {
            let network = network.parse().expect("a network");
            assert_eq!(fault(&network).as_deref(), expected, "{network}");
        }
    }

    #[test]
    fn networks_are_bounded() {
        let networks = (0..=NETWORKS_MAX).map(|number| {
            let network = format!("10.{}.{}.0/24", number / 256, number % 256);
            (network.parse().expect("a network"), 2)
        });
        let settings = SupplySettings {
            networks: networks.collect(),
            ..SupplySettings::default()
        };
        let mut report = SettingsReport::default();
        settings.check(&mut report);
        let [issue] = &report.errors[..] else {
            panic!("{:?}", report.errors)
        };
        assert_eq!(
            (issue.keys[0].as_str(), issue.to_string().as_str()),
            ("networks", "must have 256 networks or fewer, not 257")
        );
    }
}
