//! Changes of the sources' shares at runtime.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use tonic::Status;

use super::operations::Overrides;
use crate::broker::Broker;
use crate::grpc::update::{Update, all, network};
use crate::matching::SupplySettings;
use crate::proto::admin::v1;

const FIELDS: [&str; 9] = [
    "first_come",
    "recent_clients",
    "matches_per_minute",
    "explore_every",
    "unanswered",
    "parked_per_source",
    "sources_per_network",
    "networks",
    "max_client_networks",
];

/// Changes shares. Returns all of them and what changed.
pub(super) fn set(
    broker: &Broker,
    asked: &v1::SetSupplyRequest,
) -> Result<(v1::Supply, Overrides), Status> {
    let control = broker.control();
    let (supply, overrides) = changed(control.supply(), asked)?;
    let message = message(&supply);
    if !asked.validate_only {
        control.set_supply(supply);
    }
    Ok((message, overrides))
}

/// The request that makes these shares those of another node.
pub(super) fn whole(supply: &v1::Supply) -> v1::SetSupplyRequest {
    v1::SetSupplyRequest {
        supply: Some(supply.clone()),
        update_mask: Some(all(&FIELDS)),
        validate_only: false,
    }
}

/// The shares with the changes applied, and the changes as in a TOML file.
fn changed(
    mut supply: SupplySettings,
    asked: &v1::SetSupplyRequest,
) -> Result<(SupplySettings, Overrides), Status> {
    let sent = asked.supply.clone().unwrap_or_default();
    let mut update = Update::new("supply", &FIELDS, asked.update_mask.as_ref());
    let numbers = [
        ("first_come", sent.first_come, &mut supply.first_come),
        (
            "matches_per_minute",
            sent.matches_per_minute,
            &mut supply.matches_per_minute,
        ),
        (
            "explore_every",
            sent.explore_every,
            &mut supply.explore_every,
        ),
        ("unanswered", sent.unanswered, &mut supply.unanswered),
        (
            "parked_per_source",
            sent.parked_per_source,
            &mut supply.parked_per_source,
        ),
        (
            "sources_per_network",
            sent.sources_per_network,
            &mut supply.sources_per_network,
        ),
    ];
    for (field, sent, setting) in numbers {
        update.set(field, sent, Ok, setting);
    }
    let mut named = BTreeSet::new();
    let networks = &mut supply.networks;
    let once = |sent: &v1::NetworkShare| share(sent, &mut named);
    update.set_list("networks", &sent.networks, once, networks);
    let sizes = [
        (
            "recent_clients",
            sent.recent_clients,
            &mut supply.recent_clients,
        ),
        (
            "max_client_networks",
            sent.max_client_networks,
            &mut supply.max_client_networks,
        ),
    ];
    for (field, sent, setting) in sizes {
        update.set(field, sent, |size| Ok(size as usize), setting);
    }
    let overrides = update.finish("supply", &supply, SupplySettings::check)?;
    Ok((supply, overrides))
}

/// A network's share; `named` are the networks before it.
fn share(sent: &v1::NetworkShare, named: &mut BTreeSet<IpNet>) -> Result<(IpNet, u32), String> {
    let network = network(&sent.network)?;
    if !named.insert(network) {
        return Err(format!("must name {network} once"));
    }
    Ok((network, sent.share))
}

fn message(supply: &SupplySettings) -> v1::Supply {
    let size = |size| u32::try_from(size).ok();
    v1::Supply {
        first_come: Some(supply.first_come),
        recent_clients: size(supply.recent_clients),
        matches_per_minute: Some(supply.matches_per_minute),
        explore_every: Some(supply.explore_every),
        unanswered: Some(supply.unanswered),
        parked_per_source: Some(supply.parked_per_source),
        sources_per_network: Some(supply.sources_per_network),
        networks: network_shares(&supply.networks),
        max_client_networks: size(supply.max_client_networks),
    }
}

fn network_shares(networks: &BTreeMap<IpNet, u32>) -> Vec<v1::NetworkShare> {
    let shares = networks.iter().map(|(network, &share)| v1::NetworkShare {
        network: network.to_string(),
        share,
    });
    shares.collect()
}

#[cfg(test)]
mod tests {
    use prost_types::FieldMask;

    use super::*;

    fn asked(supply: v1::Supply, paths: &[&str]) -> v1::SetSupplyRequest {
        v1::SetSupplyRequest {
            supply: Some(supply),
            update_mask: Some(FieldMask {
                paths: paths.iter().map(|&path| path.to_owned()).collect(),
            }),
            validate_only: false,
        }
    }

    fn network_share(network: &str, share: u32) -> v1::NetworkShare {
        v1::NetworkShare {
            network: network.to_owned(),
            share,
        }
    }

    #[test]
    fn only_what_is_named_changes() {
        let sent = v1::Supply {
            unanswered: Some(3),
            matches_per_minute: Some(0),
            networks: vec![network_share("192.0.2.0/24", 10)],
            ..v1::Supply::default()
        };
        let before = SupplySettings::default();
        let (all, overrides) = changed(before.clone(), &asked(sent.clone(), &[])).unwrap();
        assert_eq!((all.unanswered, all.matches_per_minute), (3, 0));
        assert_eq!(all.parked_per_source, before.parked_per_source);
        assert_eq!(
            overrides["supply.networks"].trim(),
            r#"{ "192.0.2.0/24" = 10 }"#
        );
        let named = asked(sent, &["unanswered"]);
        let (one, overrides) = changed(before.clone(), &named).unwrap();
        assert_eq!(one.networks, before.networks);
        assert_eq!(overrides.len(), 1);
        let none = asked(v1::Supply::default(), &["networks"]);
        assert!(changed(all, &none).unwrap().0.networks.is_empty());
    }

    #[test]
    fn every_key_of_the_section_is_a_field() {
        let settings = toml::Table::try_from(SupplySettings::default()).unwrap();
        let mut known: Vec<&str> = settings.keys().map(String::as_str).collect();
        let mut fields = FIELDS;
        known.sort_unstable();
        fields.sort_unstable();
        assert_eq!(known, fields);
    }

    #[test]
    fn everything_wrong_is_named() {
        for (networks, problem) in [
            (
                vec![network_share("192.0.2.0/24", 0)],
                "supply.networks: 192.0.2.0/24: must be between 1 and 1000 (got 0)",
            ),
            (
                vec![network_share("example", 1)],
                "supply.networks: must be a network, such as 192.0.2.0/24, not \"example\"",
            ),
            (
                vec![network_share("::/0", 1), network_share("::/0", 2)],
                "supply.networks: must name ::/0 once",
            ),
        ] {
            let sent = v1::Supply {
                networks,
                unanswered: Some(1_000_001),
                max_client_networks: Some(0),
                ..v1::Supply::default()
            };
            let refused = changed(SupplySettings::default(), &asked(sent, &[])).unwrap_err();
            let message = refused.message();
            for culprit in [
                problem,
                "supply.unanswered: ",
                "supply.max_client_networks: ",
            ] {
                assert!(message.contains(culprit), "{culprit} is not in {message}");
            }
        }
    }
}
