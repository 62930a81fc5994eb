//! The sources of polls and the networks of clients: keyed hashes of networks, which
//! change daily, so that nothing else is kept of an address.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::matching::{MatchTally, Source, SourceRecord, SupplySettings};
use crate::metrics::labels::PeerName;
use crate::networks::{around, smallest};
use crate::policy::Whereabouts;

use super::caller::RequestOrigin;
use super::limits::{LimitKey, PlaceNetwork};
use super::sources_elsewhere::{SourceTallies, SourcesElsewhere};

/// The time for which a key is used.
const KEY_LIFETIME: Duration = Duration::from_hours(24);

/// Turns addresses into plain numbers.
#[derive(Debug)]
pub(super) struct SourceHasher {
    key: LimitKey,
    until: Instant,
    elsewhere: SourcesElsewhere,
}

impl SourceHasher {
    pub(super) fn new(now: Instant, key: LimitKey) -> Self {
        Self {
            key,
            until: now + KEY_LIFETIME,
            elsewhere: SourcesElsewhere::default(),
        }
    }

    /// The source of a poll; `None` if it is from this machine, or from an intermediary
    /// that names nobody. What a stranger claims about others is not believed: it is a
    /// source itself, which counts as `factor` of them.
    pub(super) fn source(
        &mut self,
        now: Instant,
        origin: RequestOrigin,
        settings: &SupplySettings,
        factor: u32,
    ) -> Option<Source> {
        let address = match origin {
            RequestOrigin::Sender(address) => address,
            RequestOrigin::Unconfirmed { peer, .. } => peer,
            RequestOrigin::Local | RequestOrigin::Intermediary(_) | RequestOrigin::Queue => {
                return None;
            }
        };
        let [smallest, largest] = networks_of(address);
        self.advance(now);
        Some(Source {
            id: self.key.source(smallest),
            network: self.key.source(largest),
            share: settings.share_of(address).saturating_mul(factor),
            record: SourceRecord::default(),
            elsewhere: self.elsewhere.of(now, smallest, largest),
        })
    }

    /// The network of a client; `offered` is the address in its offer, by which those count
    /// who come through an intermediary that names nobody.
    pub(super) fn network(
        &mut self,
        now: Instant,
        origin: RequestOrigin,
        offered: impl FnOnce() -> Option<IpAddr>,
    ) -> Option<u64> {
        let [_, largest] = networks_of(origin.client(offered)?);
        self.advance(now);
        Some(self.key.source(largest))
    }

    /// The word to other nodes of these sources and networks.
    pub(super) fn tallies(&mut self, now: Instant, tallies: Vec<MatchTally>) -> SourceTallies {
        self.advance(now);
        SourceTallies {
            key: self.key.to_bytes(),
            tallies,
        }
    }

    /// Notes what a node has said of its sources.
    pub(super) fn heard(&mut self, now: Instant, node: &PeerName, tallies: SourceTallies) {
        self.elsewhere.heard(now, node, tallies);
    }

    /// The number of a client's address as a voter; `None` if nobody vouches for it.
    pub(super) fn voter(&mut self, now: Instant, origin: RequestOrigin) -> Option<u64> {
        let RequestOrigin::Sender(address) = origin else {
            return None;
        };
        self.advance(now);
        Some(self.key.voter(smallest(address)))
    }

    /// The number that stands for a country and the network in it: the autonomous system,
    /// or where that is not known, a /16 or of IPv6 a /32.
    pub(super) fn place(&mut self, now: Instant, whereabouts: &Whereabouts) -> Option<u64> {
        let around = |address: IpAddr| {
            let prefix = if address.is_ipv4() { 16 } else { 32 };
            IpNet::new(address, prefix).map(|network| network.trunc())
        };
        let network = match (whereabouts.asn, whereabouts.address) {
            (Some(asn), _) => PlaceNetwork::System(asn),
            (None, Some(address)) => PlaceNetwork::Around(around(address.to_canonical()).ok()?),
            (None, None) => return None,
        };
        self.advance(now);
        Some(self.key.place(whereabouts.country, network))
    }

    /// Replaces the key when its time is over.
    pub(super) fn advance(&mut self, now: Instant) {
        while self.until <= now {
            self.key = self.key.next();
            self.until += KEY_LIFETIME;
        }
    }
}

/// The smallest and the largest network of an address.
fn networks_of(address: IpAddr) -> [IpNet; 2] {
    let smallest = smallest(address);
    [smallest, around(address).last().unwrap_or(smallest)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::clock;

    fn hasher(now: Instant) -> SourceHasher {
        SourceHasher::new(now, LimitKey::from([7; 16]))
    }

    fn source(hasher: &mut SourceHasher, now: Instant, address: &str) -> Source {
        let origin = RequestOrigin::Sender(address.parse().unwrap());
        let source = hasher.source(now, origin, &SupplySettings::default(), 1);
        source.unwrap()
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_a_64() {
        let now = clock::now();
        let hasher = &mut hasher(now);
        let mut of = |address| source(hasher, now, address);
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1").id, of("192.0.2.2").id);
        assert_eq!(of("192.0.2.1").network, of("192.0.2.2").network);
        assert_ne!(of("192.0.2.1").network, of("198.51.100.1").network);
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8:0:1::1").id, of("2001:db8::1").id);
        assert_eq!(of("2001:db8:0:1::1").network, of("2001:db8::1").network);
        assert_ne!(of("2001:db8:1::1").network, of("2001:db8::1").network);
    }

    #[test]
    fn another_day_has_other_numbers() {
        let now = clock::now();
        let hasher = &mut hasher(now);
        let today = source(hasher, now, "192.0.2.1");
        let late = now + Duration::from_hours(23);
        assert_eq!(source(hasher, late, "192.0.2.1"), today);
        let tomorrow = source(hasher, now + KEY_LIFETIME, "192.0.2.1");
        assert!(tomorrow.id != today.id && tomorrow.network != today.network);
    }

    /// A vote and a source say nothing about each other, though both are hashes of an address
    /// under one key.
    #[test]
    fn a_voter_has_another_number_than_the_source_and_another_each_day() {
        let now = clock::now();
        let hasher = &mut hasher(now);
        let source = source(hasher, now, "192.0.2.1");
        let origin = RequestOrigin::Sender("192.0.2.1".parse().unwrap());
        let today = hasher.voter(now, origin).unwrap();
        assert_ne!(today, source.id);
        assert_eq!(hasher.voter(now, origin), Some(today));
        assert_ne!(hasher.voter(now + KEY_LIFETIME, origin), Some(today));
    }

    #[test]
    fn the_key_of_sources_is_kept_for_a_day_though_nobody_comes() {
        let now = clock::now();
        let mut hasher = hasher(now);
        let first = hasher.key.text("");
        hasher.advance(now + KEY_LIFETIME.mul_f64(0.99));
        assert_eq!(hasher.key.text(""), first);
        hasher.advance(now + KEY_LIFETIME);
        assert_ne!(hasher.key.text(""), first);
    }

    #[test]
    fn a_place_is_a_country_and_a_system_or_a_network() {
        let now = clock::now();
        let hasher = &mut hasher(now);
        let mut of = |address: &str, country: &str, asn| {
            let whereabouts = Whereabouts {
                address: address.parse().ok(),
                country: country.parse().unwrap(),
                asn,
            };
            hasher.place(now, &whereabouts)
        };
        let here = of("192.0.2.1", "DE", None);
        assert!(here.is_some() && here == of("192.0.99.1", "DE", None));
        assert_eq!(here, of("::ffff:192.0.2.1", "DE", None));
        assert_ne!(here, of("192.0.2.1", "FR", None));
        assert_ne!(here, of("192.1.2.1", "DE", None));
        assert_ne!(here, of("192.0.2.1", "DE", Some(1)));
        assert_eq!(
            of("192.0.2.1", "DE", Some(1)),
            of("2001:db8::1", "DE", Some(1))
        );
        assert_eq!(
            of("2001:db8::1", "DE", None),
            of("2001:db8:ffff::1", "DE", None)
        );
        assert_ne!(of("2001:db8::1", "DE", None), of("2001:db9::1", "DE", None));
        assert_eq!(of("", "DE", None), None);
    }

    #[test]
    fn whoever_claims_to_forward_is_a_source_itself() {
        let now = clock::now();
        let hasher = &mut hasher(now);
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        let mut of = |claimed: Option<IpAddr>| {
            let origin = RequestOrigin::Unconfirmed { peer, claimed };
            hasher.source(now, origin, &SupplySettings::default(), 10)
        };
        let source = of(None).unwrap();
        assert_eq!(source.share, 10);
        assert_eq!(of(Some("198.51.100.1".parse().unwrap())), Some(source));
    }

    #[test]
    fn clients_behind_intermediaries_count_by_their_offers() {
        let now = clock::now();
        let hasher = &mut hasher(now);
        let offered: IpAddr = "198.51.100.1".parse().unwrap();
        let of_sender = hasher.network(now, RequestOrigin::Sender(offered), || None);
        assert!(of_sender.is_some());
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        for origin in [
            RequestOrigin::Queue,
            RequestOrigin::Intermediary(peer),
            RequestOrigin::Unconfirmed {
                peer,
                claimed: None,
            },
        ] {
            assert_eq!(hasher.network(now, origin, || Some(offered)), of_sender);
            assert_eq!(hasher.network(now, origin, || None), None);
        }
    }
}
