//! Conditions of rules, ready to be compared with clients and proxies.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::geoip::CountryCode;
use crate::wire::nat::NatType;
use crate::wire::rendezvous_method::Rendezvous;

use super::generation::Generation;
use super::network_list::NetworkList;
use super::settings::{ClientConditions, ProxyConditions};

/// The lists of networks, by the files that rules name.
pub type NetworkLists = BTreeMap<PathBuf, Arc<NetworkList>>;

/// The place of an address, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// The address.
    pub address: Option<IpAddr>,
    /// Its country.
    pub country: CountryCode,
    /// Its autonomous system.
    pub asn: Option<u32>,
}

/// The facts about a client that rules ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientFacts {
    /// The client's place.
    pub whereabouts: Whereabouts,
    /// The NAT word that it sends.
    pub nat: NatType,
    /// The way on which its poll came; `None` if a peer does not say.
    pub rendezvous: Option<Rendezvous>,
}

/// The facts about a proxy that rules ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyFacts<'a> {
    /// The proxy's place.
    pub whereabouts: Whereabouts,
    /// The type as the proxy spells it; empty if it does not say.
    pub type_name: &'a str,
    /// The NAT word that it sends.
    pub nat: NatType,
    /// The generation of the program.
    pub generation: Generation,
}

/// The conditions on the place of an address. The lists are sorted.
#[derive(Clone, Debug, Default, PartialEq)]
struct PlaceConditions {
    countries: Vec<CountryCode>,
    asns: Vec<u32>,
    networks: Option<Arc<NetworkList>>,
}

/// The conditions of one rule.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PairConditions {
    client: ClientConditions,
    client_place: PlaceConditions,
    proxy: ProxyConditions,
    proxy_place: PlaceConditions,
}

impl PairConditions {
    /// A list that is not in `lists` is empty.
    pub(super) fn new(
        client: &ClientConditions,
        proxy: &ProxyConditions,
        lists: &NetworkLists,
    ) -> Self {
        let place = |countries: &[CountryCode], asns: &[u32], file: Option<&Path>| {
            let list = file.map(|file| lists.get(file).cloned().unwrap_or_default());
            PlaceConditions::new(countries, asns, list)
        };
        Self {
            client_place: place(&client.countries, &client.asns, client.networks.as_deref()),
            proxy_place: place(&proxy.countries, &proxy.asns, proxy.networks.as_deref()),
            client: client.clone(),
            proxy: proxy.clone(),
        }
    }

    /// Returns true if the client meets those on clients.
    pub(super) fn are_met_by_client(&self, client: &ClientFacts) -> bool {
        any_of(&self.client.nat, &client.nat)
            && self.is_way_of(client)
            && self.client_place.are_met(client.whereabouts)
    }

    fn is_way_of(&self, client: &ClientFacts) -> bool {
        let ways = &self.client.rendezvous;
        let is_one = |way| ways.contains(&way);
        ways.is_empty() || client.rendezvous.is_some_and(is_one)
    }

    /// Returns true if the proxy meets those on proxies.
    pub(super) fn are_met_by_proxy(&self, proxy: &ProxyFacts<'_>) -> bool {
        any_of(&self.proxy.nat, &proxy.nat)
            && any_of(&self.proxy.generation, &proxy.generation)
            && is_of_type(&self.proxy.types, proxy.type_name)
            && self.proxy_place.are_met(proxy.whereabouts)
    }
}

impl PlaceConditions {
    fn new(countries: &[CountryCode], asns: &[u32], networks: Option<Arc<NetworkList>>) -> Self {
        let (mut countries, mut asns) = (countries.to_vec(), asns.to_vec());
        countries.sort_unstable();
        asns.sort_unstable();
        Self {
            countries,
            asns,
            networks,
        }
    }

    fn are_met(&self, place: Whereabouts) -> bool {
        let is_there =
            self.countries.is_empty() || self.countries.binary_search(&place.country).is_ok();
        is_there && self.is_in_networks(place)
    }

    /// The networks of the file and the autonomous systems are one condition.
    fn is_in_networks(&self, place: Whereabouts) -> bool {
        if self.asns.is_empty() && self.networks.is_none() {
            return true;
        }
        let is_in_system = |asn| self.asns.binary_search(&asn).is_ok();
        let is_listed = |address| {
            let networks = self.networks.as_ref();
            networks.is_some_and(|networks| networks.contains(address))
        };
        place.asn.is_some_and(is_in_system) || place.address.is_some_and(is_listed)
    }
}

fn any_of<T: PartialEq>(list: &[T], value: &T) -> bool {
    list.is_empty() || list.contains(value)
}

/// Returns true if a type is one of these names, or begins with the part before a `*`.
fn is_of_type(types: &[String], type_name: &str) -> bool {
    let is_meant = |name: &String| match name.strip_suffix('*') {
        Some(start) => type_name.starts_with(start),
        None => name == type_name,
    };
    types.is_empty() || types.iter().any(is_meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(country: &str, asn: Option<u32>, address: &str) -> Whereabouts {
        Whereabouts {
            address: address.parse().ok(),
            country: country.parse().unwrap(),
            asn,
        }
    }

    fn lists() -> NetworkLists {
        let list = NetworkList::parse("192.0.2.0/24").unwrap();
        NetworkLists::from([("/list".into(), Arc::new(list))])
    }

    fn conditions(client: &str, proxy: &str) -> PairConditions {
        let client = toml::from_str(client).unwrap();
        let proxy = toml::from_str(proxy).unwrap();
        PairConditions::new(&client, &proxy, &lists())
    }

    fn is_met_by_proxy_at(conditions: &str, whereabouts: Whereabouts) -> bool {
        conditions_on_proxy(conditions, whereabouts, "webext", Generation::Unknown)
    }

    fn conditions_on_proxy(
        text: &str,
        whereabouts: Whereabouts,
        type_name: &str,
        generation: Generation,
    ) -> bool {
        conditions("", text).are_met_by_proxy(&ProxyFacts {
            whereabouts,
            type_name,
            nat: NatType::Restricted,
            generation,
        })
    }

    #[test]
    fn a_place_is_a_country_and_a_network() {
        let here = at("RU", Some(65_551), "192.0.2.1");
        for (text, expected) in [
            ("", true),
            ("countries = ['IR', 'ru']", true),
            ("countries = ['IR']", false),
            ("asns = [1, 65551]", true),
            ("asns = [1]", false),
            ("networks = '/list'", true),
            ("networks = '/list'\nasns = [1]", true),
            ("networks = '/elsewhere'", false),
            ("networks = '/elsewhere'\nasns = [65551]", true),
            ("networks = '/list'\ncountries = ['IR']", false),
        ] {
            assert_eq!(is_met_by_proxy_at(text, here), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_known_meets_no_condition_but_that_of_the_unknown_country() {
        let nowhere = Whereabouts::default();
        for (text, expected) in [
            ("countries = ['RU']", false),
            ("countries = ['??']", true),
            ("asns = [1]", false),
            ("networks = '/list'", false),
        ] {
            assert_eq!(is_met_by_proxy_at(text, nowhere), expected, "{text}");
        }
    }

    #[test]
    fn types_are_names_or_their_beginnings() {
        let is_met =
            |text, name| conditions_on_proxy(text, Whereabouts::default(), name, Generation::Old);
        assert!(is_met("types = ['webext', 'orbot-*']", "orbot-ios"));
        assert!(is_met("types = ['webext', 'orbot-*']", "webext"));
        assert!(!is_met("types = ['webext', 'orbot-*']", "webextra"));
        assert!(!is_met("types = ['webext']", "orbot-*"));
        assert!(is_met("types = ['*']", ""));
        assert!(is_met("generation = ['old']", "webext"));
        assert!(!is_met("generation = ['unknown']", "webext"));
        assert!(!is_met("nat = ['strict']", "webext"));
    }

    #[test]
    fn all_conditions_on_a_client_must_be_met() {
        let client = ClientFacts {
            whereabouts: at("RU", None, ""),
            nat: NatType::Unknown,
            rendezvous: Some(Rendezvous::Sqs),
        };
        let is_met = |text| conditions(text, "").are_met_by_client(&client);
        assert!(is_met(
            "countries = ['RU']\nnat = ['unknown']\nrendezvous = ['sqs', 'http']"
        ));
        assert!(!is_met(
            "countries = ['RU']\nnat = ['restricted']\nrendezvous = ['sqs']"
        ));
        assert!(!is_met("countries = ['RU']\nrendezvous = ['ampcache']"));
    }
}
