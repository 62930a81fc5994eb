//! Nodes that have the windows of the metrics log in common, over a bucket that fails.

use std::convert::Infallible;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use fastrand::Rng;
use snowflake_broker::cluster::shared::{Bucket as _, SharedBlock, WindowRandom, WindowShare};
use snowflake_broker::metrics::distinct_ips::WindowKey;
use snowflake_broker::metrics::saved_state::SavedState;
use snowflake_broker::wire::proxy::{ProxyPoll, ProxyTypes};
use tokio::time::sleep;

use crate::bucket::{NodeVault, Vault};
use crate::bus::Hub;
use crate::node::Node;

/// The length of a window.
const WINDOW: Duration = Duration::from_mins(1);
/// What is counted at once: counts are published rounded up to a multiple of it.
const POLLS: u64 = 8;
const STEP: Duration = Duration::from_millis(100);

/// A node that keeps a log, as the program does.
struct Keeper {
    node: Node,
    share: WindowShare,
    /// What is on its disk.
    saved: Option<SavedState>,
    log: Vec<SharedBlock>,
}

impl Keeper {
    fn start(hub: &Hub, vault: &Vault, name: &str, saved: Option<SavedState>) -> Self {
        let mut node = Node::start(hub, name);
        let share = saved.as_ref().and_then(|saved| saved.share.clone());
        if let Some(saved) = saved.clone() {
            node.metrics.restore(saved, WindowKey::from([1; 16]));
        }
        node.share(vault, WINDOW);
        let share = WindowShare::new(node.cluster.clone(), share);
        Self {
            node,
            share,
            saved,
            log: Vec::new(),
        }
    }

    /// Does what the program does when something has changed.
    fn act(&mut self) {
        let advanced = self.share.advance(&self.node.metrics, UNIX_EPOCH, || {
            Ok::<_, Infallible>(random())
        });
        let Ok(has_changed) = advanced;
        let blocks = self.share.take_blocks();
        let has_blocks = !blocks.is_empty();
        self.log.extend(blocks);
        if has_changed || has_blocks {
            self.save();
        }
        self.share.offer();
    }

    fn save(&mut self) {
        self.saved = Some(SavedState {
            share: Some(self.share.saved()),
            ..self.node.metrics.save()
        });
    }

    fn count(&mut self) {
        let poll = br#"{"Sid":"a","Version":"1.3"}"#;
        let poll = ProxyPoll::decode(poll, &ProxyTypes::default()).unwrap();
        for _ in 0..POLLS {
            self.node.metrics.begin_proxy_poll(&poll).idle();
        }
    }

    fn is_holder(&self) -> bool {
        self.node.seen().lease_holder.as_deref() == Some(&self.node.name)
    }

    /// Kills the node, and starts it again with what is on its disk.
    fn restart(self, hub: &Hub, vault: &Vault) -> Self {
        let (name, saved, log) = (self.node.name.clone(), self.saved.clone(), self.log);
        drop(self.node);
        Self {
            log,
            ..Self::start(hub, vault, &name, saved)
        }
    }
}

fn random() -> WindowRandom {
    WindowRandom {
        id: fastrand::u64(..),
        key: WindowKey::from([1; 16]),
    }
}

fn start_three(hub: &Hub, vault: &Vault) -> Vec<Keeper> {
    let names = ["a", "b", "c"];
    let nodes = names.map(|name| Keeper::start(hub, vault, name, None));
    nodes.into()
}

/// Lets this time pass.
async fn pass(nodes: &mut [Keeper], time: Duration) {
    for _ in 0..time.as_millis() / STEP.as_millis() {
        sleep(STEP).await;
        nodes.iter_mut().for_each(Keeper::act);
    }
}

/// Checks that each node has one change to put in force, with this request.
fn assert_changed_once(nodes: &[Keeper], request: &[u8]) {
    for node in nodes {
        let changes = node.node.cluster.take_changes();
        assert_eq!(changes.len(), 1, "{}", node.node.name);
        assert_eq!(changes[0].request.as_deref(), Some(request));
    }
}

/// Has a setting changed to `old`, then to `new`, and lets this time pass after each.
async fn change_twice(nodes: &mut [Keeper], time: Duration) {
    for request in [b"old", b"new"] {
        let node = &nodes[0].node.cluster;
        node.share_change("supply", request.to_vec());
        pass(nodes, time).await;
    }
}

/// Writes something over the last value of a key, as whoever may write to the bucket.
async fn write_over(stranger: &NodeVault, vault: &Vault, key: &str, value: Bytes) {
    let last = vault.revision(key);
    let written = stranger.write(key.to_owned(), last, value);
    written.await.unwrap();
}

/// The idle polls in a log.
fn idle(log: &[SharedBlock]) -> u64 {
    let lines = log.iter().flat_map(|block| block.text.lines());
    let counts = lines.filter_map(|line| line.strip_prefix("snowflake-idle-count "));
    counts.map(|count| count.parse::<u64>().unwrap()).sum()
}

#[tokio::test(start_paused = true)]
async fn what_nodes_count_is_one_block_in_the_log_of_each() {
    let (hub, vault) = (Hub::new(1), Vault::new(1));
    let mut nodes = start_three(&hub, &vault);
    pass(&mut nodes, Duration::from_secs(5)).await;
    nodes.iter_mut().for_each(Keeper::count);
    pass(&mut nodes, WINDOW).await;
    for node in &nodes {
        assert_eq!(node.log.len(), 1, "{}", node.node.name);
        assert_eq!(node.log, nodes[0].log);
        assert!(node.log[0].text.contains(" (60 s)\n"), "{:?}", node.log);
    }
    assert_eq!(idle(&nodes[0].log), 3 * POLLS);
    assert_eq!(vault.keys(), ["block.1", "lease", "window"]);
    let holders = nodes.iter().filter(|node| node.is_holder());
    assert_eq!(holders.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_who_sees_the_bucket_reads_a_count() {
    let (hub, vault) = (Hub::new(1), Vault::new(1));
    let mut nodes = start_three(&hub, &vault);
    pass(&mut nodes, WINDOW + Duration::from_secs(5)).await;
    for beginning in ["lease", "window", "part.", "block."] {
        let values = vault.written(beginning);
        assert!(!values.is_empty(), "{beginning}");
        for value in values {
            let holds = |word: &[u8]| memchr::memmem::find(&value, word).is_some();
            assert!(!holds(b"snowflake") && !holds(b"sketch"), "{beginning}");
        }
    }
}

/// It has begun the next window, and dies before the block of the last one.
#[tokio::test(start_paused = true)]
async fn a_holder_that_dies_at_the_end_of_a_window_is_replaced() {
    let (hub, vault) = (Hub::new(1), Vault::new(1));
    let mut nodes = start_three(&hub, &vault);
    pass(&mut nodes, Duration::from_secs(5)).await;
    nodes.iter_mut().for_each(Keeper::count);
    while vault.written("window").len() < 2 {
        pass(&mut nodes, STEP).await;
    }
    let holder = nodes.iter().position(Keeper::is_holder).unwrap();
    let dead = nodes.remove(holder);
    let (name, saved) = (dead.node.name.clone(), dead.saved.clone());
    assert!(dead.log.is_empty());
    drop(dead);
    pass(&mut nodes, Duration::from_secs(40)).await;
    assert_eq!(nodes[0].log.len(), 1);
    assert_eq!(nodes[0].log, nodes[1].log);
    // What it had counted comes later, if it had come to save that.
    nodes.push(Keeper::start(&hub, &vault, &name, saved));
    pass(&mut nodes, 2 * WINDOW).await;
    let log = &nodes[0].log;
    let counted = idle(log);
    assert!([2 * POLLS, 3 * POLLS].contains(&counted), "{log:?}");
    assert_eq!(nodes[2].log, *log);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_leaves_what_it_has_counted() {
    let (hub, vault) = (Hub::new(1), Vault::new(1));
    let mut nodes = start_three(&hub, &vault);
    pass(&mut nodes, Duration::from_secs(5)).await;
    let holder = nodes.iter().position(Keeper::is_holder).unwrap();
    let mut leaving = nodes.remove(holder);
    leaving.count();
    leaving
        .share
        .stop(&leaving.node.metrics, UNIX_EPOCH, random());
    leaving.share.offer();
    leaving.node.cluster.has_contributed().await;
    leaving.node.cluster.leave();
    leaving.node.cluster.give_back_lease().await;
    drop(leaving);
    pass(&mut nodes, Duration::from_secs(2)).await;
    // Nobody waits for the end of its lease.
    assert!(nodes.iter().any(Keeper::is_holder));
    pass(&mut nodes, WINDOW).await;
    assert_eq!(idle(&nodes[0].log), POLLS);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_away_for_long_loses_nothing() {
    let (hub, vault) = (Hub::new(1), Vault::new(1));
    let mut nodes = start_three(&hub, &vault);
    pass(&mut nodes, Duration::from_secs(5)).await;
    vault.cut_off("a");
    nodes[0].count();
    pass(&mut nodes, 5 * WINDOW).await;
    assert_eq!((nodes[0].log.len(), idle(&nodes[1].log)), (0, 0));
    vault.reconnect("a");
    pass(&mut nodes, 2 * WINDOW).await;
    assert_eq!(nodes[0].log, nodes[1].log);
    assert_eq!(idle(&nodes[1].log), POLLS);
}

#[tokio::test(start_paused = true)]
async fn a_value_of_somebody_else_changes_nothing() {
    let (hub, vault) = (Hub::new(1), Vault::new(1));
    let mut nodes = start_three(&hub, &vault);
    pass(&mut nodes, Duration::from_secs(5)).await;
    let (stranger, _events) = vault.connect("stranger");
    for key in ["part.0000000000000001.0", "block.7", "else"] {
        let value = b"not sealed".as_slice().into();
        stranger.write(key.to_owned(), 0, value).await.unwrap();
    }
    nodes[0].count();
    pass(&mut nodes, WINDOW + Duration::from_secs(5)).await;
    assert_eq!((nodes[0].log.len(), idle(&nodes[0].log)), (1, POLLS));
    let dropped = "snowflake_broker_cluster_messages_dropped_total";
    assert_eq!(nodes[0].node.count(dropped, &["reason=\"not_sealed\""]), 3);
}

/// Or a key that is no longer in use has sealed them.
#[tokio::test(start_paused = true)]
async fn a_window_and_a_lease_that_nobody_can_read_are_written_anew() {
    let (hub, vault) = (Hub::new(1), Vault::new(1));
    let mut nodes = start_three(&hub, &vault);
    pass(&mut nodes, 2 * WINDOW).await;
    nodes[0].count();
    let (stranger, _events) = vault.connect("stranger");
    for key in ["lease", "window"] {
        let value = b"not sealed".as_slice().into();
        write_over(&stranger, &vault, key, value).await;
    }
    nodes[1].count();
    pass(&mut nodes, 2 * WINDOW).await;
    assert_eq!(idle(&nodes[0].log), 2 * POLLS);
    assert_eq!(nodes[0].log, nodes[1].log);
}

/// As after a key was replaced at once, or by a stranger who may write to the bucket.
#[tokio::test(start_paused = true)]
async fn blocks_and_settings_that_nobody_can_read_are_written_over() {
    let (hub, vault) = (Hub::new(1), Vault::new(1));
    let mut nodes = start_three(&hub, &vault);
    pass(&mut nodes, WINDOW + Duration::from_secs(5)).await;
    let before = nodes[0].log.len();
    let (stranger, _events) = vault.connect("stranger");
    let mut last = 0;
    for key in ["block.2", "block.3", "setting.supply"] {
        let value = b"not sealed".as_slice().into();
        last = stranger.write(key.to_owned(), 0, value).await.unwrap();
    }
    stranger
        .write("block.4".to_owned(), 0, "".into())
        .await
        .unwrap();
    for number in 100..1_200 {
        let value = b"not sealed".as_slice().into();
        stranger
            .write(format!("block.{number}"), 0, value)
            .await
            .unwrap();
    }
    nodes[0].node.cluster.share_change("supply", b"more".into());
    nodes[0].count();
    pass(&mut nodes, 4 * WINDOW).await;
    assert_eq!(nodes[0].log.len(), before + 4);
    assert_eq!(idle(&nodes[0].log), POLLS);
    assert_eq!(nodes[0].log, nodes[1].log);
    assert!(vault.revision("setting.supply") > last);
}

/// What nobody can read would otherwise make those who start forget a setting, and with time all,
/// so that an old one could be put back.
#[tokio::test(start_paused = true)]
async fn a_setting_outlasts_what_nobody_can_read_and_that_all_nodes_start_again() {
    let (hub, vault) = (Hub::new(1), Vault::new(1));
    let mut nodes = start_three(&hub, &vault);
    pass(&mut nodes, Duration::from_secs(5)).await;
    change_twice(&mut nodes, Duration::from_secs(5)).await;
    let old = vault.written("setting.supply").remove(0);
    let (stranger, _events) = vault.connect("stranger");
    for _ in 0..3 {
        let value = b"not sealed".as_slice().into();
        write_over(&stranger, &vault, "setting.supply", value).await;
        pass(&mut nodes, Duration::from_secs(15)).await;
        let node = nodes.remove(0).restart(&hub, &vault);
        nodes.push(node);
        pass(&mut nodes, Duration::from_secs(5)).await;
    }
    write_over(&stranger, &vault, "setting.supply", old).await;
    pass(&mut nodes, Duration::from_secs(5)).await;
    assert_changed_once(&nodes, b"new");
}

/// By whoever may write to it, or because its files are lost.
#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_emptied_is_filled_again() {
    for empty in [Vault::empty, Vault::replace] {
        let (hub, vault) = (Hub::new(1), Vault::new(1));
        let mut nodes = start_three(&hub, &vault);
        nodes[0].node.cluster.share_change("supply", b"more".into());
        pass(&mut nodes, WINDOW + Duration::from_secs(5)).await;
        let before = nodes[0].log.len();
        empty(&vault);
        nodes[1].count();
        pass(&mut nodes, Duration::from_secs(30)).await;
        nodes[1].node.cluster.share_change("limits", b"few".into());
        pass(&mut nodes, 2 * WINDOW).await;
        assert_eq!(nodes[0].log.len(), before + 2);
        assert_eq!(idle(&nodes[0].log), POLLS);
        assert_eq!(nodes[0].log, nodes[2].log);
        nodes.push(Keeper::start(&hub, &vault, "d", None));
        pass(&mut nodes, Duration::from_secs(5)).await;
        let changes = nodes[3].node.cluster.take_changes();
        let names: Vec<_> = changes.iter().map(|change| change.name.as_str()).collect();
        assert_eq!(names, ["limits", "supply"]);
    }
}

/// Strangers cannot keep the administration from reaching the other nodes, nor hold up windows.
#[tokio::test(start_paused = true)]
async fn values_of_strangers_under_any_names_hold_nothing_up() {
    let (hub, vault) = (Hub::new(1), Vault::new(1));
    let (stranger, _events) = vault.connect("stranger");
    for number in 0..5_000 {
        let value = b"not sealed".as_slice().into();
        let key = format!("setting.pool.{number}");
        stranger.write(key, 0, value).await.unwrap();
    }
    let mut nodes = start_three(&hub, &vault);
    pass(&mut nodes, Duration::from_secs(5)).await;
    nodes[0]
        .node
        .cluster
        .share_change("pool.4999", b"a pool".into());
    pass(&mut nodes, WINDOW + Duration::from_secs(5)).await;
    assert_eq!(nodes[1].log.len(), 1);
    assert_changed_once(&nodes, b"a pool");
}

/// Whoever may write to the bucket has all that was ever in it, sealed.
#[tokio::test(start_paused = true)]
async fn what_is_put_back_counts_no_more() {
    let (hub, vault) = (Hub::new(1), Vault::new(1));
    let mut nodes = start_three(&hub, &vault);
    pass(&mut nodes, Duration::from_secs(5)).await;
    change_twice(&mut nodes, WINDOW).await;
    let (stranger, _events) = vault.connect("stranger");
    for key in ["setting.supply", "window"] {
        let old = vault.written(key).remove(0);
        write_over(&stranger, &vault, key, old).await;
    }
    nodes[0].count();
    let before = nodes[0].log.len();
    pass(&mut nodes, 2 * WINDOW).await;
    assert_eq!(nodes[0].log.len(), before + 2);
    assert_eq!(idle(&nodes[0].log), POLLS);
    nodes.push(Keeper::start(&hub, &vault, "d", None));
    pass(&mut nodes, Duration::from_secs(5)).await;
    assert_changed_once(&nodes, b"new");
}

/// Whatever happens: each count is in one block, and each log has the same blocks.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_counted_twice() {
    for seed in 0..3 {
        let (hub, vault, mut rng) = (Hub::new(seed), Vault::new(seed), Rng::with_seed(seed));
        let mut nodes = start_three(&hub, &vault);
        pass(&mut nodes, Duration::from_secs(5)).await;
        let mut counted = 0;
        vault.be_silent(0.2);
        for _ in 0..80 {
            let chosen = rng.usize(..nodes.len());
            let name = nodes[chosen].node.name.clone();
            match rng.u8(..10) {
                0 => vault.cut_off(&name),
                1 | 2 => vault.reconnect(&name),
                3 => {
                    // What was counted since the last time is lost with the process.
                    nodes[chosen].save();
                    let killed = nodes.remove(chosen);
                    nodes.push(killed.restart(&hub, &vault));
                }
                4 => hub.cut_off(&name),
                5 => hub.with_faults(|faults| faults.cut_off.clear()),
                _ => {
                    nodes[chosen].count();
                    counted += POLLS;
                }
            }
            let time = Duration::from_millis(rng.u64(0..10_000));
            pass(&mut nodes, time).await;
        }
        vault.be_silent(0.0);
        hub.with_faults(|faults| faults.cut_off.clear());
        for name in ["a", "b", "c"] {
            vault.reconnect(name);
        }
        pass(&mut nodes, 3 * WINDOW).await;
        for node in &nodes {
            let log: Vec<_> = node.log.iter().map(|block| block.number).collect();
            assert_eq!(node.log, nodes[0].log, "seed {seed}: {log:?}");
        }
        assert_eq!(idle(&nodes[0].log), counted, "seed {seed}");
        assert!(nodes[0].log.len() > 4, "seed {seed}");
        let keys = vault.keys();
        assert!(!keys.iter().any(|key| key.starts_with("part.")), "{keys:?}");
        assert!(keys.len() <= 20, "{keys:?}");
    }
}
