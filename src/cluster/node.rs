//! The node: its state, and what it says.

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_util::{Stream, StreamExt as _};
use prost::Message as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tracing::Level;

use crate::broker::nodes::ClusterStatus;
use crate::broker::{Broker, clock};
use crate::metrics::Metrics;
use crate::metrics::labels::DroppedMessage;
use crate::proto::cluster::v1;
use crate::proto::cluster::v1::node_message::Body;
use crate::proto::cluster::v1::supply::State;
use crate::telemetry::{Kind, LogLimits};

use super::bus::{Bus, BusEvent, NotSent, Subjects};
use super::convert::{self, ToldSupply};
use super::echo::Echo;
use super::keys::ClusterKeys;
use super::loan_table::NodeLoans;
use super::members::Membership;
use super::open_calls::OpenCall;
use super::proof_limits::ProofLimits;
use super::sender_clock::millis_since;
use super::shared::SharedState;
use super::stray_table::Strays;

/// The interval of words that come back. Two of them fit into the time after which a bus without
/// echo counts as away.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(450);
/// The age of the last word of supply at which a heartbeat is another one: so it is every second
/// heartbeat, which the others need less often than this node needs its echo.
const SAID_LATELY: Duration = Duration::from_millis(675);
/// The shortest time between two words of supply.
const SHORTEST: Duration = Duration::from_millis(200);
/// The maximum number of changes logged per node and period.
const LOGGED_MAX: u32 = 10;
const LOG_PERIOD: Duration = Duration::from_mins(1);
const CHANGES: Kind = Kind::new(Level::INFO, "cluster: nodes and the bus");

/// This node among the others.
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    /// The name of the node.
    pub node: String,
    /// A number that no other process of the name has. Later processes have higher ones.
    pub incarnation: u64,
    /// The start of the clock that this node's messages tell.
    pub started: Instant,
}

/// This node's side of the cluster.
pub struct Cluster {
    pub(super) me: NodeIdentity,
    pub(super) subjects: Subjects,
    pub(super) keys: ClusterKeys,
    pub(super) reserve: usize,
    bus: Arc<dyn Bus>,
    pub(super) metrics: Arc<Metrics>,
    state: Mutex<ClusterState>,
    /// Notified of every word of supply.
    pub(super) heard_of_supply: Notify,
    pub(super) shared: SharedState,
    pub(super) changes: LogLimits,
}

pub(super) struct ClusterState {
    pub(super) members: Membership,
    pub(super) echo: Echo,
    pub(super) proofs: ProofLimits,
    pub(super) calls: HashMap<u64, OpenCall>,
    pub(super) loans: NodeLoans,
    pub(super) strays: Strays,
    pub(super) rng: Rng,
    last_id: u64,
    sequence: u64,
    /// True if this node has said that nothing more comes from it.
    has_left: bool,
    /// The last problem with the bus since it worked.
    pub(super) problem: Option<String>,
}

impl ClusterState {
    /// A number that was never used before, nor by an earlier process: its replies can be repeated.
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }
}

/// The last word of supply.
#[derive(Clone, Debug)]
struct Said {
    at: Instant,
    supply: ToldSupply,
}

impl Cluster {
    /// A node that knows no others. `seed` is random; `reserve` proxies of each pool are not
    /// for other nodes' clients.
    pub fn new(
        me: NodeIdentity,
        cluster: &str,
        keys: ClusterKeys,
        reserve: usize,
        bus: Arc<dyn Bus>,
        metrics: Arc<Metrics>,
        seed: u64,
    ) -> Self {
        let mut rng = Rng::with_seed(seed);
        Self {
            subjects: Subjects::new(cluster, &me.node),
            keys,
            reserve,
            bus,
            metrics,
            state: Mutex::new(ClusterState {
                members: Membership::new(me.started),
                echo: Echo::default(),
                proofs: ProofLimits::default(),
                calls: HashMap::new(),
                loans: NodeLoans::default(),
                strays: Strays::default(),
                last_id: rng.u64(..),
                rng,
                sequence: 0,
                has_left: false,
                problem: None,
            }),
            heard_of_supply: Notify::new(),
            shared: SharedState::new(&me.node, me.incarnation),
            changes: LogLimits::new(CHANGES, LOGGED_MAX, LOG_PERIOD),
            me,
        }
    }

    /// Handles what comes from the bus, and says what this node has. Returns when the bus
    /// has ended.
    pub async fn run(
        self: Arc<Self>,
        broker: Arc<Broker>,
        mut bus: impl Stream<Item = BusEvent> + Unpin,
    ) {
        let mut loans = JoinSet::new();
        let mut beats = interval(HEARTBEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said = self.say_supply(&broker);
        let mut differs = pin!(self.supply_differs(&broker, said.clone()));
        loop {
            let has_something_to_say = tokio::select! {
                event = bus.next() => match event {
                    Some(event) => self.receive(&broker, &event, &mut loans),
                    None => return,
                },
                _ = beats.tick() => {
                    let now = clock::now();
                    self.beat(now);
                    let is_old = now.saturating_duration_since(said.at) >= SAID_LATELY;
                    if !is_old {
                        self.say_echo();
                    }
                    is_old
                }
                () = &mut differs => true,
                Some(_) = loans.join_next() => false,
            };
            if has_something_to_say {
                said = self.say_supply(&broker);
                differs.set(self.supply_differs(&broker, said.clone()));
            }
        }
    }

    /// Completes when the supply is another than was said, not too soon after that.
    async fn supply_differs(&self, broker: &Broker, said: Said) {
        let mut not_before = said.at + SHORTEST;
        let differs = || self.supply(broker) != said.supply;
        loop {
            let changed = broker.any_supply_changed();
            // No timer runs while nothing happens.
            if !differs() {
                changed.await;
            }
            sleep_until(not_before.into()).await;
            if differs() {
                return;
            }
            not_before = clock::now().max(not_before + SHORTEST);
        }
    }

    fn supply(&self, broker: &Broker) -> ToldSupply {
        let private_pools = broker.private_pools();
        ToldSupply {
            proxies: broker.supply_beyond(self.reserve),
            private_pools: private_pools.map_or_else(Vec::new, |pools| pools.supplies()),
        }
    }

    fn say_supply(&self, broker: &Broker) -> Said {
        let supply = self.supply(broker);
        if !self.state().has_left {
            let message = self.word(broker, &supply);
            drop(self.send(self.subjects.supply(), Body::Supply(message)));
        }
        Said {
            at: clock::now(),
            supply,
        }
    }

    /// Says to one node what there is, with a proof that this process says so.
    pub(super) fn prove(&self, broker: &Broker, node: &str, proof: v1::Proof) {
        if self.state().has_left {
            return;
        }
        let message = v1::Supply {
            proof: Some(proof),
            ..self.word(broker, &self.supply(broker))
        };
        drop(self.send_to(node, Body::Supply(message)));
    }

    fn word(&self, broker: &Broker, supply: &ToldSupply) -> v1::Supply {
        convert::supply(self.next_sequence(), supply, broker.source_tallies())
    }

    /// Says something that only this node hears.
    fn say_echo(&self) {
        drop(self.send_to(&self.me.node, Body::Echo(v1::Echo {})));
    }

    /// Says that nothing more will come from this node.
    pub fn leave(&self) {
        let leaving = v1::Supply {
            sequence: self.next_sequence(),
            state: State::Left.into(),
            ..v1::Supply::default()
        };
        drop(self.send(self.subjects.supply(), Body::Supply(leaving)));
        self.state().has_left = true;
    }

    fn next_sequence(&self) -> u64 {
        let mut state = self.state();
        state.sequence += 1;
        state.sequence
    }

    pub(super) fn beat(&self, now: Instant) {
        let mut state = self.state();
        let lost = state.members.expire(now);
        state.loans.expire(now);
        state.strays.expire(now);
        let nodes = 1 + state.members.len();
        let (is_heard, change) = (state.echo.is_heard(now), state.echo.change(now));
        let is_stuck = state.echo.is_stuck(now);
        if is_heard {
            state.problem = None;
        }
        drop(state);
        if is_stuck {
            self.bus.reconnect();
        }
        self.metrics.cluster_seen(nodes, is_heard);
        for change in &lost {
            self.log_change(change);
        }
        match change {
            Some(true) => tracing::info!("cluster: connected to NATS"),
            Some(false) => tracing::warn!(
                "cluster: nothing comes back from NATS: this node serves on its own until it does"
            ),
            None => {}
        }
    }

    /// Sends a message to a node.
    pub(super) fn send_to(&self, node: &str, body: Body) -> Result<(), NotSent> {
        self.send(self.subjects.of_node(node), body)
    }

    /// Seals a message and sends it.
    pub(super) fn send(&self, subject: String, body: Body) -> Result<(), NotSent> {
        let message = v1::NodeMessage {
            node: self.me.node.clone(),
            incarnation: self.me.incarnation,
            sent_at_ms: self.millis(clock::now()),
            body: Some(body),
        };
        let sealed = self.keys.seal(&subject, &message.encode_to_vec());
        let sent = sealed
            .map_err(|_| NotSent)
            .and_then(|sealed| self.bus.send(subject, sealed.into()));
        if sent.is_err() {
            self.metrics.message_dropped(DroppedMessage::NotSent);
        }
        sent
    }

    /// A time on the clock of this node's messages.
    pub(super) fn millis(&self, at: Instant) -> u64 {
        millis_since(self.me.started, at)
    }

    /// The name of the cluster.
    pub fn name(&self) -> &str {
        self.subjects.cluster()
    }

    /// The name of this node.
    pub fn node(&self) -> &str {
        &self.me.node
    }

    /// The state of the cluster.
    pub(super) fn seen(&self) -> ClusterStatus {
        let now = clock::now();
        let state = self.state();
        ClusterStatus {
            name: self.subjects.cluster().to_owned(),
            node: self.me.node.clone(),
            is_connected: state.echo.is_heard(now),
            has_bucket: self.shared.is_watched(),
            lease_holder: self.shared.holder(),
            others: state.members.statuses(now),
        }
    }

    /// Returns true if no offer and no stray answer is in progress.
    pub fn is_idle(&self) -> bool {
        let state = self.state();
        state.calls.is_empty() && state.loans.len() == 0 && state.strays.len() == 0
    }

    /// Locks the state, which is consistent even if a thread panicked while holding the
    /// lock.
    pub(super) fn state(&self) -> MutexGuard<'_, ClusterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Cluster").finish_non_exhaustive()
    }
}
