//! One of several brokers, with its clients and proxies.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::global::BoxedTracer;
use snowflake_broker::bridges::BridgeList;
use snowflake_broker::broker::limits::{self, Limits};
use snowflake_broker::broker::overflow::PeerStatus;
use snowflake_broker::broker::{Broker, Directory, NoAnswer};
use snowflake_broker::federation::Federation;
use snowflake_broker::federation::settings::{PeerSettings, Settings};
use snowflake_broker::grpc::federation::{PeerAuth, lender};
use snowflake_broker::listener::Closing;
use snowflake_broker::matching;
use snowflake_broker::metrics::Metrics;
use snowflake_broker::metrics::distinct_ips::WindowKey;
use snowflake_broker::wire::answer::AnswerStatus;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tonic_health::server::HealthReporter;

use crate::SECOND_BRIDGE;
use crate::network::Network;
use crate::support::counted::count;
use crate::support::in_process::{self, ask, poll};
use crate::support::messages::client_poll;
use crate::support::private_pools;
use crate::support::watched::{self, WATCH};
use crate::support::wire;

/// A time-out for hanging tests, longer than anything here takes.
const FOREVER: Duration = Duration::from_hours(1);

/// A running broker. Dropping it removes it with its connections.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) broker: Arc<Broker>,
    pub(crate) federation: Arc<Federation>,
    pub(crate) auth: Arc<PeerAuth>,
    _tasks: JoinSet<()>,
}

/// A peer with the tests' default settings.
pub(crate) fn peer(name: &str) -> PeerSettings {
    let peer = format!("name = \"{name}\"\nurl = \"https://{name}\"");
    toml::from_str(&peer).unwrap()
}

/// Settings with these peers and no reserve.
pub(crate) fn peers(names: &[&str]) -> Settings {
    Settings {
        reserve: 0,
        peers: names.iter().map(|name| peer(name)).collect(),
        ..Settings::default()
    }
}

impl Node {
    pub(crate) fn start(network: &Network, name: &str, settings: &Settings) -> Self {
        // No broker here has more than a proxy or two.
        let matching = matching::Settings {
            second_chance_reserve: 0,
            ..matching::Settings::default()
        };
        Self::with(network, name, settings, matching)
    }

    pub(crate) fn with(
        network: &Network,
        name: &str,
        settings: &Settings,
        matching: matching::Settings,
    ) -> Self {
        Self::traced(network, name, settings, matching, None)
    }

    pub(crate) fn traced(
        network: &Network,
        name: &str,
        settings: &Settings,
        matching: matching::Settings,
        tracer: Option<BoxedTracer>,
    ) -> Self {
        LazyLock::force(&WATCH);
        let metrics = Arc::new(Metrics::new(UNIX_EPOCH, WindowKey::from([7; 16])));
        let federation = Federation::new(network.of(name), Arc::clone(&metrics), 7);
        let federation = Arc::new(federation);
        let auth = PeerAuth::new(BTreeSet::new(), None, Arc::clone(&metrics));
        let auth = Arc::new(auth);
        let limits = Limits::new(limits::Settings::default(), [3; 16].into());
        let pools = private_pools::none_yet(&Arc::new(limits));
        let broker = Broker::new(matching, directory(), metrics, 7)
            .traced(tracer)
            .overflowing(Some(federation.peers()))
            .beside(Arc::clone(&pools));
        let broker = Arc::new(broker);
        pools.stand_beside(&broker);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { pools.drive().await });
        let driven = Arc::clone(&broker);
        tasks.spawn(async move { driven.drive().await });
        tasks.spawn(Arc::clone(&federation).run());
        let health = HealthReporter::new();
        let server = lender(&auth, Arc::clone(&broker), health, Closing::default());
        tasks.spawn(wire::serve(network.listen(name), server));
        let node = Self {
            name: name.to_owned(),
            broker,
            federation,
            auth,
            _tasks: tasks,
        };
        node.configure(settings);
        node
    }

    pub(crate) fn configure(&self, settings: &Settings) {
        let names = settings.peers.iter().map(PeerSettings::id);
        self.auth.set(names.collect(), None);
        self.broker.control().set_lending(settings.lending());
        self.federation.configure(settings);
    }

    /// Replaces the private pools by ones with these names, a letter each.
    pub(crate) async fn set_pools(&self, names: &[&str]) {
        private_pools::set(&self.broker, names).await;
    }

    /// The broker's status of a peer.
    pub(crate) fn peer(&self, name: &str) -> PeerStatus {
        let mut peers = self.broker.control().peers().into_iter();
        peers
            .find(|peer| peer.figures.name.as_str() == name)
            .unwrap()
    }

    /// Waits until the status of a peer satisfies a condition.
    pub(crate) async fn sees(&self, name: &str, what: impl Fn(&PeerStatus) -> bool) {
        let seen = async {
            while !what(&self.peer(name)) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let seen = timeout(FOREVER, seen).await;
        assert!(seen.is_ok(), "{}: {:?}", self.name, self.peer(name));
    }

    /// Waits until a peer reports this many proxies in total.
    pub(crate) async fn sees_proxies(&self, name: &str, count: usize) {
        let shown = |peer: &PeerStatus| peer.figures.supply.iter().sum::<usize>();
        self.sees(name, |peer| {
            peer.figures.is_connected && shown(peer) == count
        })
        .await;
    }

    /// Starts a proxy that polls, and answers an offer. Returns the offer and the status
    /// of the answer.
    pub(crate) fn proxy(&self, sid: &str) -> JoinHandle<Option<(String, AnswerStatus)>> {
        let (broker, sid) = (Arc::clone(&self.broker), sid.to_owned());
        tokio::spawn(async move {
            let offer = poll(&broker, &sid, "open").await?;
            Some((offer, in_process::answer(&broker, &sid, &sid).await))
        })
    }

    /// Starts a proxy that polls and never answers. Returns the offer.
    pub(crate) fn silent_proxy(&self, sid: &str) -> JoinHandle<Option<String>> {
        in_process::begin_poll(&self.broker, sid)
    }

    /// Answers as the proxy with this name.
    pub(crate) async fn answer(&self, sid: &str) -> AnswerStatus {
        in_process::answer(&self.broker, sid, sid).await
    }

    /// Asks for the default bridge as a client.
    pub(crate) async fn client(&self, name: &str) -> Result<String, NoAnswer> {
        self.client_for(client_poll(name, "restricted")).await
    }

    pub(crate) async fn client_for(&self, poll: String) -> Result<String, NoAnswer> {
        let answer = timeout(FOREVER, ask(&self.broker, &poll)).await;
        answer.expect("a client hangs")
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

/// Checks that neither spans nor metrics identify anyone.
impl Drop for Node {
    fn drop(&mut self) {
        watched::assert_clean(&self.broker);
    }
}

/// A broker that may borrow from two others.
pub(crate) fn three(network: &Network) -> [Node; 3] {
    let a = Node::start(network, "a.example", &peers(&["b.example", "c.example"]));
    let b = Node::start(network, "b.example", &peers(&["a.example"]));
    let c = Node::start(network, "c.example", &peers(&["a.example"]));
    [a, b, c]
}

fn directory() -> Directory {
    let bridge = |fingerprint| {
        format!(
            "{{\"displayName\":\"a\",\"webSocketAddress\":\"wss://a.example/\",\"fingerprint\":\"{fingerprint}\"}}\n"
        )
    };
    let bridges = bridge("2B280B23E1107BB62ABFC40DDCC8824814F80A72") + &bridge(SECOND_BRIDGE);
    Directory {
        bridges: BridgeList::parse(&bridges).unwrap(),
        ..Directory::default()
    }
}
