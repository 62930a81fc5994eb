//! The text form of the nodes of a cluster.

use super::figures::seconds;
use super::table::TextTable;
use crate::proto::admin::v1;

/// This node, and a row for each other one.
pub(in crate::admin_client) fn nodes(listed: &v1::ListNodesResponse) -> String {
    if listed.cluster.is_empty() {
        return "no node of a cluster\n".to_owned();
    }
    let connection = if listed.connected {
        "connected"
    } else {
        "not connected to NATS, serves on its own"
    };
    let this = format!(
        "{} of {}: {connection}\n{}\n",
        listed.node,
        listed.cluster,
        writer(listed)
    );
    if listed.nodes.is_empty() {
        return this + "no other nodes\n";
    }
    let mut table = TextTable::of_words();
    table.row([
        "node", "state", "version", "open", "moderate", "strict", "offers", "latency", "lag",
        "heard",
    ]);
    for node in &listed.nodes {
        let supply = |pool: v1::Pool| {
            let mut supply = node.supply.iter();
            let supply = supply.find(|supply| supply.pool() == pool);
            supply.map_or(0, |supply| supply.proxies).to_string()
        };
        let state = if node.draining { "draining" } else { "serving" };
        table.row([
            node.name.clone(),
            state.to_owned(),
            node.version.clone(),
            supply(v1::Pool::Open),
            supply(v1::Pool::Moderate),
            supply(v1::Pool::Strict),
            node.offers.to_string(),
            seconds(node.latency),
            seconds(node.lag),
            seconds(node.supply_age) + " ago",
        ]);
    }
    this + &table.to_string()
}

/// The node that writes what all have in common.
fn writer(listed: &v1::ListNodesResponse) -> String {
    if !listed.bucket_reachable {
        return "the shared bucket cannot be reached, or is not used".to_owned();
    }
    match listed.lease_holder.as_str() {
        "" => "no node writes the metrics log of all yet".to_owned(),
        holder => format!("the metrics log of all is written by {holder}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(millis: i32) -> prost_types::Duration {
        prost_types::Duration {
            seconds: 0,
            nanos: millis * 1_000_000,
        }
    }

    #[test]
    fn each_other_node_has_a_row() {
        let b = v1::Node {
            name: "b".to_owned(),
            version: "1.2.3".to_owned(),
            supply: vec![v1::PoolSupply {
                pool: v1::Pool::Open.into(),
                proxies: 7,
            }],
            supply_age: Some(span(120)),
            offers: 2,
            latency: Some(span(850)),
            lag: Some(span(20)),
            ..v1::Node::default()
        };
        let listed = v1::ListNodesResponse {
            cluster: "snowflake".to_owned(),
            node: "a".to_owned(),
            connected: true,
            bucket_reachable: true,
            lease_holder: "b".to_owned(),
            nodes: vec![b],
        };
        let expected = "\
a of snowflake: connected
the metrics log of all is written by b
node  state    version  open  moderate  strict  offers  latency  lag     heard
b     serving  1.2.3    7     0         0       2       0.85 s   0.02 s  0.12 s ago
";
        assert_eq!(nodes(&listed), expected);
    }

    #[test]
    fn a_node_on_its_own_says_so() {
        let listed = v1::ListNodesResponse {
            cluster: "snowflake".to_owned(),
            node: "a".to_owned(),
            ..v1::ListNodesResponse::default()
        };
        let expected = "a of snowflake: not connected to NATS, serves on its own\n\
                        the shared bucket cannot be reached, or is not used\nno other nodes\n";
        assert_eq!(nodes(&listed), expected);
        assert_eq!(
            nodes(&v1::ListNodesResponse::default()),
            "no node of a cluster\n"
        );
    }
}
