//! One of several nodes, with its clients and proxies.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, UNIX_EPOCH};

use snowflake_broker::broker::limits::{self, Limits};
use snowflake_broker::broker::nodes::{ClusterStatus, NodeStatus};
use snowflake_broker::broker::overflow::InTurn;
use snowflake_broker::broker::{Broker, Directory, NoAnswer, clock};
use snowflake_broker::cluster::{Cluster, ClusterKeys, NodeIdentity};
use snowflake_broker::matching::{self, SupplySettings};
use snowflake_broker::metrics::Metrics;
use snowflake_broker::metrics::distinct_ips::WindowKey;
use snowflake_broker::wire::answer::AnswerStatus;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::bucket::Vault;
use crate::bus::Hub;
use crate::support::counted::count;
use crate::support::in_process::{self, poll};
use crate::support::private_pools;
use crate::support::watched::{self, WATCH};

/// A time-out for hanging tests, longer than anything here takes.
const FOREVER: Duration = Duration::from_hours(1);
/// The name of the cluster.
pub(crate) const CLUSTER: &str = "test";
/// The key of the cluster.
pub(crate) const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// The number of the next process.
static INCARNATIONS: AtomicU64 = AtomicU64::new(1);

/// A running node. Dropping it kills it.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) broker: Arc<Broker>,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) metrics: Arc<Metrics>,
    tasks: JoinSet<()>,
}

impl Node {
    /// Starts a node without a reserve.
    pub(crate) fn start(hub: &Hub, name: &str) -> Self {
        Self::with(hub, name, 0, KEY)
    }

    pub(crate) fn with(hub: &Hub, name: &str, reserve: usize, key: &str) -> Self {
        LazyLock::force(&WATCH);
        let metrics = Arc::new(Metrics::new(UNIX_EPOCH, WindowKey::from([7; 16])));
        let (bus, events) = hub.connect(CLUSTER, name);
        let incarnation = INCARNATIONS.fetch_add(1, Ordering::Relaxed);
        let me = NodeIdentity {
            node: name.to_owned(),
            incarnation,
            started: clock::now(),
        };
        let keys = ClusterKeys::parse(key).unwrap();
        let sid_keys = keys.sid_keys();
        let bus = Arc::new(bus);
        let cluster = Cluster::new(
            me,
            CLUSTER,
            keys,
            reserve,
            bus,
            metrics.clone(),
            incarnation,
        );
        let cluster = Arc::new(cluster);
        // No node here has more than a proxy or two.
        let matching = matching::Settings {
            second_chance_reserve: 0,
            ..matching::Settings::default()
        };
        let in_turn = InTurn(vec![cluster.other_nodes()]);
        let limits = Arc::new(Limits::new(limits::Settings::default(), [3; 16].into()));
        let pools = private_pools::none_yet(&limits);
        let broker = Broker::new(matching, Directory::default(), metrics.clone(), 7)
            .limited(limits)
            .sharing(
                SupplySettings::default(),
                u128::from(incarnation).to_be_bytes().into(),
            )
            .in_cluster(cluster.other_nodes(), sid_keys)
            .overflowing(Some(Arc::new(in_turn)))
            .beside(Arc::clone(&pools));
        let broker = Arc::new(broker);
        pools.stand_beside(&broker);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { pools.drive().await });
        let driven = Arc::clone(&broker);
        tasks.spawn(async move { driven.drive().await });
        let events = UnboundedReceiverStream::new(events);
        tasks.spawn(Arc::clone(&cluster).run(Arc::clone(&broker), events));
        Self {
            name: name.to_owned(),
            broker,
            cluster,
            metrics,
            tasks,
        }
    }

    /// Shares windows of this length with the other nodes.
    pub(crate) fn share(&mut self, vault: &Vault, window: Duration) {
        let (bucket, events) = vault.connect(&self.name);
        let events = UnboundedReceiverStream::new(events);
        let cluster = Arc::clone(&self.cluster);
        self.tasks
            .spawn(cluster.share(Arc::new(bucket), window, events));
    }

    /// The cluster, as this node sees it.
    pub(crate) fn seen(&self) -> ClusterStatus {
        self.broker.control().cluster().unwrap()
    }

    /// What this node knows of another one.
    pub(crate) fn status_of(&self, name: &str) -> Option<NodeStatus> {
        let mut nodes = self.seen().others.into_iter();
        nodes.find(|node| node.name.as_str() == name)
    }

    /// Waits until another node is heard of with this many proxies in total.
    pub(crate) async fn sees_proxies(&self, name: &str, count: usize) {
        let shown = |node: NodeStatus| node.supply.iter().sum::<usize>();
        let seen = async {
            while !self.seen().is_connected || self.status_of(name).map(shown) != Some(count) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let seen = timeout(FOREVER, seen).await;
        assert!(seen.is_ok(), "{}: {:?}", self.name, self.seen());
    }

    /// Starts a proxy that polls here and answers at another node. Returns the offer and the
    /// status of the answer.
    pub(crate) fn proxy_answering_at(
        &self,
        other: &Self,
        sid: &str,
    ) -> JoinHandle<Option<(String, AnswerStatus)>> {
        let brokers = [&self.broker, &other.broker].map(Arc::clone);
        let sid = sid.to_owned();
        tokio::spawn(async move {
            let [here, there] = brokers;
            let offer = poll(&here, &sid, "open").await?;
            Some((offer, in_process::answer(&there, &sid, &sid).await))
        })
    }

    /// Replaces the node's private pools by ones with these names, a letter each.
    pub(crate) async fn set_pools(&self, names: &[&str]) {
        private_pools::set(&self.broker, names).await;
    }

    /// The broker of a private pool here.
    pub(crate) fn pool(&self, name: &str) -> Arc<Broker> {
        private_pools::broker_of(&self.broker, name)
    }

    /// Starts a proxy that polls and answers here.
    pub(crate) fn proxy(&self, sid: &str) -> JoinHandle<Option<(String, AnswerStatus)>> {
        self.proxy_answering_at(self, sid)
    }

    /// Starts a proxy that polls and never answers. Returns the offer.
    pub(crate) fn silent_proxy(&self, sid: &str) -> JoinHandle<Option<String>> {
        in_process::begin_poll(&self.broker, sid)
    }

    /// Answers here as the proxy with this name.
    pub(crate) async fn answer(&self, sid: &str) -> AnswerStatus {
        in_process::answer(&self.broker, sid, sid).await
    }

    /// Asks for a bridge as a client.
    pub(crate) async fn client(&self, name: &str) -> Result<String, NoAnswer> {
        let answer = timeout(FOREVER, self.begin_client(name)).await;
        answer.expect("a client hangs").unwrap()
    }

    /// Starts such a client in the background.
    pub(crate) fn begin_client(&self, name: &str) -> JoinHandle<Result<String, NoAnswer>> {
        in_process::begin_client(&self.broker, name)
    }

    /// The sum of a family's series with all these labels, each written `name="value"`.
    pub(crate) fn count(&self, family: &str, labels: &[&str]) -> u64 {
        count(&self.broker, family, labels)
    }
}

/// Checks that the metrics identify nobody.
impl Drop for Node {
    fn drop(&mut self) {
        watched::assert_clean(&self.broker);
    }
}

/// Starts three nodes that have heard of each other.
pub(crate) async fn three(hub: &Hub) -> [Node; 3] {
    let nodes = ["a", "b", "c"].map(|name| Node::start(hub, name));
    for node in &nodes {
        for other in &nodes {
            if node.name != other.name {
                node.sees_proxies(&other.name, 0).await;
            }
        }
    }
    nodes
}
