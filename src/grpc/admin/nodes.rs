//! The nodes of a cluster.

use crate::broker::Broker;
use crate::broker::nodes::NodeStatus;
use crate::grpc::convert::{count, duration, pool};
use crate::proto::admin::v1;
use crate::wire::nat::NatClass;

/// The nodes, as this one sees them.
pub(super) fn list(broker: &Broker) -> v1::ListNodesResponse {
    let Some(cluster) = broker.control().cluster() else {
        return v1::ListNodesResponse::default();
    };
    v1::ListNodesResponse {
        cluster: cluster.name,
        node: cluster.node,
        connected: cluster.is_connected,
        bucket_reachable: cluster.has_bucket,
        lease_holder: cluster.lease_holder.unwrap_or_default(),
        nodes: cluster.others.iter().map(node).collect(),
    }
}

fn node(status: &NodeStatus) -> v1::Node {
    let supply = NatClass::ALL.into_iter().zip(status.supply);
    v1::Node {
        name: status.name.to_string(),
        version: status.version.clone(),
        supply: supply
            .map(|(class, proxies)| v1::PoolSupply {
                pool: pool(class).into(),
                proxies: count(proxies),
            })
            .collect(),
        supply_age: Some(duration(status.silent_for)),
        lag: Some(duration(status.lag)),
        draining: status.is_draining,
        offers: count(status.offers_sent),
        latency: status.latency.map(duration),
    }
}
