//! What the nodes share in a bucket of NATS: the metrics log, and what the administration
//! changes.

use crate::real::access::Access;
use crate::real::site::{RealNode, Site};
use crate::real::until;

/// The number of clients that are denied at a node. Counts are published rounded up to a multiple
/// of it.
const DENIED: u64 = 8;

/// Returns true if this many clients were denied, by a metrics log, each of whose counts is
/// rounded: clients of one node may be in two windows.
fn has_denied(log: &str, clients: u64) -> bool {
    let lines = log.lines();
    let counts = lines.filter_map(|line| line.strip_prefix("client-denied-count "));
    let counts: Vec<u64> = counts.map(|count| count.parse().unwrap()).collect();
    let rounded = counts.iter().filter(|count| **count > 0).count() as u64;
    let sum: u64 = counts.iter().sum();
    (clients..clients + DENIED * rounded.max(1)).contains(&sum)
}

async fn deny_clients(node: &RealNode) {
    for number in 0..DENIED {
        let reply = node.client(&format!("{}-{number}", node.name)).await;
        assert!(reply.contains("no snowflake proxies"), "{reply}");
    }
}

/// The node that writes for all, as a node sees it.
async fn holder(node: &RealNode) -> Option<String> {
    let nodes = node.admin("nodes").await;
    let line = nodes.lines().nth(1)?;
    let name = line.strip_prefix("the metrics log of all is written by ")?;
    Some(name.to_owned())
}

async fn have_one_log(site: &Site, clients: u64) {
    until("all nodes have the same log", async || {
        let logs: Vec<_> = site.nodes().map(RealNode::metrics_log).collect();
        logs.iter()
            .all(|log| has_denied(log, clients) && *log == logs[0])
    })
    .await;
}

/// With the permissions of the ready file.
#[tokio::test]
async fn the_nodes_have_one_metrics_log_even_if_the_one_that_writes_it_dies() {
    let names = ["a", "b", "c"];
    let mut site = Site::start(Access::Nkeys, &names).await;
    for name in names {
        deny_clients(site.node(name)).await;
    }
    have_one_log(&site, 3 * DENIED).await;
    let killed = holder(site.node("a")).await.unwrap();
    site.kill(&killed);
    for node in site.nodes() {
        deny_clients(node).await;
    }
    have_one_log(&site, 5 * DENIED).await;
    let left = site.nodes().next().unwrap();
    assert_ne!(holder(left).await.as_ref(), Some(&killed));
    // What it has missed it finds in the bucket.
    site.start_node(&killed).await;
    have_one_log(&site, 5 * DENIED).await;
}

#[tokio::test]
async fn what_the_administration_of_a_node_changes_holds_for_all() {
    let names = ["a", "b"];
    let mut site = Site::start(Access::Open, &names).await;
    until("the bucket is there", async || {
        holder(site.node("a")).await.is_some()
    })
    .await;
    site.node("a")
        .admin("relay --allowed ^snowflake.example.net")
        .await;
    site.node("a").admin("interval --open 77s").await;
    site.node("a").admin("limits --exempt 192.0.2.0/24").await;
    let has_it = async |node: &RealNode| {
        let config = node.admin("config").await;
        let set = config.lines().filter(|line| line.ends_with(" admin"));
        let values = ["^snowflake.example.net", "1m 17s", "192.0.2.0/24"];
        set.clone().count() == 3
            && values
                .iter()
                .all(|value| set.clone().any(|line| line.contains(value)))
    };
    until("the other node has it, too", async || {
        has_it(site.node("b")).await
    })
    .await;
    let created = site
        .node("a")
        .admin("pools create friends --url https://broker.example")
        .await;
    let (_, token) = created.split_once("/p/").unwrap();
    let (token, _) = token.split_once('/').unwrap();
    let path = format!("/p/{token}/client");
    until("the other node has the private pool", async || {
        site.node("b").denies_at(&path).await
    })
    .await;
    site.node("b")
        .admin("pools create passing --url https://broker.example")
        .await;
    until("the first node has it, too", async || {
        has_pool(site.node("a"), "passing").await
    })
    .await;
    // A node that starts has all that, too, and hears of what it has missed.
    site.kill("b");
    site.node("a").admin("pools revoke passing").await;
    site.start_node("b").await;
    until("the new process has that pool no more", async || {
        !has_pool(site.node("b"), "passing").await && site.node("b").denies_at(&path).await
    })
    .await;
    until("the new process has it", async || {
        has_it(site.node("b")).await
    })
    .await;
    // As on a single broker, a reload ends it, but for private pools.
    site.node("b").admin("reload").await;
    for name in names {
        let what = format!("{name} has its configuration again");
        until(&what, async || {
            let config = site.node(name).admin("config").await;
            !config.lines().any(|line| line.ends_with(" admin"))
        })
        .await;
    }
    for name in names {
        assert!(has_pool(site.node(name), "friends").await, "{name}");
    }
    site.assert_logs_are_clean();
    site.assert_logs_lack(token);
}

async fn has_pool(node: &RealNode, name: &str) -> bool {
    let pools = node.admin("pools list").await;
    pools.lines().any(|line| line.starts_with(name))
}
