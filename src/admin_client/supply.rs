//! The calls about the supply: the shares of its sources, and who has how much of it.

use prost_types::FieldMask;

use crate::proto::admin::v1;

use super::arguments::{NetworkShare, SourcesArgs, SupplyArgs};
use super::connection::{AuthorizedClient, RemoteBroker, mask};
use super::failure::Failure;
use super::output::Printer;
use super::text::{self, DryRun};

/// Changes the shares, or asks for them.
pub(super) async fn set(
    asked: &SupplyArgs,
    broker: &mut RemoteBroker,
    output: &Printer,
) -> Result<(), Failure> {
    let asks_only = *asked == SupplyArgs::default();
    let networks = asked.networks.iter().map(message);
    let request = v1::SetSupplyRequest {
        supply: Some(v1::Supply {
            first_come: asked.first_come,
            recent_clients: asked.recent_clients,
            matches_per_minute: asked.matches_per_minute,
            explore_every: asked.explore_every,
            unanswered: asked.unanswered,
            parked_per_source: asked.parked_per_source,
            sources_per_network: asked.sources_per_network,
            networks: networks.collect(),
            max_client_networks: asked.max_client_networks,
        }),
        update_mask: Some(supply_mask(asked)),
        validate_only: asked.dry_run || asks_only,
    };
    let supply = broker.call(AuthorizedClient::set_supply, request).await?;
    output.show(&supply, |supply| {
        text::supply(supply, DryRun(asked.dry_run))
    })
}

/// The fields to change. They must be named, since an empty list could also mean no
/// change.
fn supply_mask(asked: &SupplyArgs) -> FieldMask {
    let has_networks = asked.no_networks || !asked.networks.is_empty();
    mask(&[
        ("first_come", asked.first_come.is_some()),
        ("recent_clients", asked.recent_clients.is_some()),
        ("matches_per_minute", asked.matches_per_minute.is_some()),
        ("explore_every", asked.explore_every.is_some()),
        ("unanswered", asked.unanswered.is_some()),
        ("parked_per_source", asked.parked_per_source.is_some()),
        ("sources_per_network", asked.sources_per_network.is_some()),
        ("networks", has_networks),
        ("max_client_networks", asked.max_client_networks.is_some()),
    ])
}

fn message(network: &NetworkShare) -> v1::NetworkShare {
    v1::NetworkShare {
        network: network.network.clone(),
        share: network.share,
    }
}

/// Asks for the distribution of supply over its sources.
pub(super) async fn sources(
    asked: &SourcesArgs,
    broker: &mut RemoteBroker,
    output: &Printer,
) -> Result<(), Failure> {
    let request = v1::GetSourceDistributionRequest {
        tops: asked.top.clone(),
    };
    let call = AuthorizedClient::get_source_distribution;
    let distribution = broker.call(call, request).await?;
    output.show(&distribution, text::sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_changes() {
        assert!(supply_mask(&SupplyArgs::default()).paths.is_empty());
        let asked = SupplyArgs {
            unanswered: Some(0),
            no_networks: true,
            ..SupplyArgs::default()
        };
        assert_eq!(supply_mask(&asked).paths, ["unanswered", "networks"]);
    }
}
