//! The share of a source that polls at several nodes.

use std::sync::Arc;
use std::time::Duration;

use snowflake_broker::broker::{Caller, RequestOrigin};
use snowflake_broker::matching::SupplySettings;
use tokio::time::{sleep, timeout};

use crate::bus::Hub;
use crate::node::{Node, three};
use crate::support::in_process::{answer_as, caller, poll_as};

/// The time after which all nodes have heard what one of them has counted.
const HEARD: Duration = Duration::from_secs(1);
/// The time for which a poll is parked before a client comes.
const PARKED: Duration = Duration::from_millis(50);

fn proxy(address: &str) -> Caller {
    let address = address.parse().unwrap();
    Caller {
        address: Some(address),
        origin: RequestOrigin::Sender(address),
        ..caller()
    }
}

/// Polls at a node that has a client for whoever is parked. Returns true if the proxy gets the
/// client.
async fn is_matched(node: &Node, address: &str, sid: &str) -> bool {
    let broker = Arc::clone(&node.broker);
    let (from, name) = (proxy(address), sid.to_owned());
    let mut polling = tokio::spawn(async move { poll_as(&broker, from, &name, "open").await });
    if let Ok(ended) = timeout(PARKED, &mut polling).await {
        assert_eq!(ended.unwrap(), None);
        return false;
    }
    let client = node.begin_client(sid);
    let offer = polling.await.unwrap();
    answer_as(&node.broker, proxy(address), sid, sid)
        .await
        .unwrap();
    client.await.unwrap().unwrap();
    offer.is_some()
}

#[tokio::test(start_paused = true)]
async fn a_source_has_one_share_at_all_nodes_together() {
    let hub = Hub::new(1);
    let [a, b, c] = three(&hub).await;
    let most = SupplySettings::default().matches_per_minute;
    for number in 0..most {
        let node = [&a, &b][number as usize % 2];
        assert!(is_matched(node, "5.9.0.1", &format!("{number}")).await);
    }
    sleep(HEARD).await;
    for node in [&a, &b, &c] {
        assert!(!is_matched(node, "5.9.0.1", "one too many").await);
        let other = format!("another at {}", node.name);
        assert!(is_matched(node, "5.9.8.1", &other).await);
    }
    sleep(Duration::from_mins(1)).await;
    assert!(is_matched(&c, "5.9.0.1", "a minute later").await);
}

/// A /24 has the share of eight sources, whichever nodes they poll.
#[tokio::test(start_paused = true)]
async fn a_network_has_one_share_at_all_nodes_together() {
    let hub = Hub::new(1);
    let [a, b, c] = three(&hub).await;
    let settings = SupplySettings::default();
    for host in 1..=settings.sources_per_network {
        for number in 0..settings.matches_per_minute {
            let node = [&a, &b][number as usize % 2];
            let sid = format!("{host} {number}");
            assert!(is_matched(node, &format!("5.9.0.{host}"), &sid).await);
        }
    }
    sleep(HEARD).await;
    assert!(!is_matched(&c, "5.9.0.99", "one too many").await);
    assert!(is_matched(&c, "5.9.1.1", "of another network").await);
}

/// A node that is no longer heard of no longer counts.
#[tokio::test(start_paused = true)]
async fn a_node_that_is_lost_is_not_counted() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    for number in 0..SupplySettings::default().matches_per_minute {
        assert!(is_matched(&a, "5.9.0.1", &format!("{number}")).await);
    }
    sleep(HEARD).await;
    assert!(!is_matched(&b, "5.9.0.1", "while a is heard of").await);
    drop(a);
    sleep(Duration::from_secs(5)).await;
    assert!(is_matched(&b, "5.9.0.1", "after that").await);
}
