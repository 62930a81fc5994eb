//! A complete broker, except for HTTP and TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use fastrand::Rng;
use snowflake_broker::bridges::BridgeList;
use snowflake_broker::broker::{Broker, Directory};
use snowflake_broker::federation::Federation;
use snowflake_broker::federation::settings::PeerSettings;
use snowflake_broker::grpc::federation::{PeerAuth, lender};
use snowflake_broker::listener::Closing;
use snowflake_broker::matching;
use snowflake_broker::metrics::Metrics;
use snowflake_broker::metrics::distinct_ips::WindowKey;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic_health::server::HealthReporter;

use crate::simulation::invariants::{Invariants, now};
use crate::simulation::network::{Dialer, listen};
use crate::simulation::plan::{BROKERS, LIAR, OVER, Plan, RECONNECTED, name};
use crate::simulation::workload::Workload;
use crate::support::wire;

/// The interval of checks of a broker's bounds.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// A broker from one start to the next crash.
struct Node {
    plan: Arc<Plan>,
    number: usize,
    broker: Arc<Broker>,
    invariants: Invariants,
    /// The number of borrowers' connections.
    wires: Arc<AtomicUsize>,
}

/// Runs a broker until the end of the simulation. The seed differs between starts.
pub(crate) async fn run(
    plan: Arc<Plan>,
    number: usize,
    invariants: Invariants,
    seed: u64,
) -> turmoil::Result {
    let mut rng = Rng::with_seed(seed);
    let settings = plan.settings(number);
    let metrics = Arc::new(Metrics::new(UNIX_EPOCH, WindowKey::from([7; 16])));
    let dialer = Arc::new(Dialer(name(number)));
    let federation = Federation::new(dialer, Arc::clone(&metrics), rng.u64(..));
    let federation = Arc::new(federation);
    let matching = matching::Settings::default();
    let peers = settings.peers.iter().map(PeerSettings::id);
    let auth = PeerAuth::new(peers.collect(), None, Arc::clone(&metrics));
    let broker = Broker::new(matching, directory(), metrics, rng.u64(..))
        .overflowing(Some(federation.peers()));
    let broker = Arc::new(broker);
    let auth = Arc::new(auth);
    broker.control().set_lending(settings.lending());
    federation.configure(&settings);

    let wires = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let driven = Arc::clone(&broker);
    tasks.spawn(async move { driven.drive().await });
    tasks.spawn(federation.run());
    tasks.spawn(serve(number, auth, Arc::clone(&broker), Arc::clone(&wires)));
    let workload = Workload {
        broker: Arc::clone(&broker),
        invariants: invariants.clone(),
        name: name(number),
        proxies: plan.brokers[number].proxies,
    };
    tasks.spawn(workload.run(rng));
    let node = Node {
        plan,
        number,
        broker,
        invariants,
        wires,
    };
    tasks.spawn(async move { node.look_after().await });
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
}

async fn serve(number: usize, auth: Arc<PeerAuth>, broker: Arc<Broker>, wires: Arc<AtomicUsize>) {
    let incoming = listen(name(number), wires).await.unwrap();
    let server = lender(&auth, broker, HealthReporter::new(), Closing::default());
    wire::serve(incoming, server).await;
}

impl Node {
    /// Checks that the broker keeps its bounds, and that nothing is left at the end.
    async fn look_after(&self) {
        let mut is_reconnected = false;
        while now() < OVER {
            sleep(LOOK_PERIOD).await;
            self.check_bounds();
            if !is_reconnected && now() >= RECONNECTED {
                is_reconnected = true;
                self.check_connections();
            }
        }
        self.check_empty();
        self.invariants.audited();
    }

    /// Checks that it holds only clients and polls that exist, and no more of a peer's
    /// than allowed.
    fn check_bounds(&self) {
        let mut lent = 0;
        for (borrower, (terms, in_flight)) in self.broker.control().borrowers() {
            if in_flight > terms.max_in_flight {
                self.wrong(&format!("lends {in_flight} to {borrower}"));
            }
            lent += in_flight;
        }
        let most = self.plan.settings(self.number).peers[0].max_in_flight;
        for peer in self.broker.control().peers() {
            if peer.borrowing > most {
                let name = peer.figures.name;
                self.wrong(&format!("borrows {} of {name}", peer.borrowing));
            }
        }
        let waiting = self.broker.control().snapshot();
        let clients = waiting.matched_clients + waiting.queued_clients;
        let polls: usize = waiting.parked.iter().map(|(_, _, count)| count).sum();
        let (own_clients, own_polls) = self.invariants.waiting(&name(self.number));
        if clients > own_clients + lent || polls > own_polls {
            self.wrong(&format!(
                "has {clients} clients and {polls} polls, and there are {own_clients} clients, \
                 {lent} of others, and {own_polls} polls"
            ));
        }
    }

    /// Checks that all peers for borrowing are connected again.
    fn check_connections(&self) {
        for peer in self.broker.control().peers() {
            let name = &peer.figures.name;
            if name.as_str() != LIAR && peer.borrows && !peer.figures.is_connected {
                self.wrong(&format!("has lost {name}: {:?}", peer.problem));
            }
        }
    }

    /// Checks that all tables are empty, and that the only connections are those of its
    /// borrowers.
    fn check_empty(&self) {
        let waiting = self.broker.control().snapshot();
        if waiting != matching::Snapshot::default() {
            self.wrong(&format!("still has {waiting:?}"));
        }
        let lent: usize = self
            .broker
            .control()
            .borrowers()
            .into_values()
            .map(|(_, in_flight)| in_flight)
            .sum();
        let borrowed: usize = self
            .broker
            .control()
            .peers()
            .into_iter()
            .map(|peer| peer.borrowing)
            .sum();
        if (lent, borrowed) != (0, 0) {
            self.wrong(&format!("still lends {lent} and borrows {borrowed}"));
        }
        let own = name(self.number);
        let others = (0..BROKERS).filter(|other| *other != self.number);
        let borrowers = others.filter(|other| self.plan.lends(&own, &name(*other)));
        let (expected, wires) = (borrowers.count(), self.wires.load(Ordering::Relaxed));
        if wires != expected {
            self.wrong(&format!("has {wires} connections of {expected} borrowers"));
        }
    }

    fn wrong(&self, what: &str) {
        self.invariants
            .wrong(format!("{} {what}", name(self.number)));
    }
}

fn directory() -> Directory {
    let bridges = r#"{"displayName":"a","webSocketAddress":"wss://a.example/","fingerprint":"2B280B23E1107BB62ABFC40DDCC8824814F80A72"}"#;
    Directory {
        bridges: BridgeList::parse(bridges).unwrap(),
        ..Directory::default()
    }
}
