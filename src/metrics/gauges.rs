//! Gauge values that are read from other components at a scrape.

use std::time::Duration;

use super::families::{
    BridgeAddressLabels, CircuitLabels, ClientLabels, Families, PeerLabels, PeerPoolLabels,
    PoolLabels, ProxyLabels, seed1,
};
use super::labels::{BridgeCondition, BridgeState, CircuitState, PeerName};
use super::private_pools::PrivatePoolFigures;
use crate::wire::nat::{NatClass, NatType};
use crate::wire::proxy::ProxyType;

/// The values of the gauges at a scrape.
#[derive(Clone, Debug, Default)]
pub struct GaugeSnapshot {
    /// Parked polls by type and NAT; zeros may be omitted.
    pub parked: Vec<(ProxyType, NatType, usize)>,
    /// Queued clients by NAT class.
    pub queued: Vec<(NatClass, usize)>,
    /// Clients waiting for an answer.
    pub matched: usize,
    /// The different clients of the last two minutes.
    pub clients: Vec<ClientFigures>,
    /// The poll interval told to the proxies of each pool.
    pub poll_intervals: Vec<(NatClass, Duration)>,
    /// The addresses of bridges.
    pub bridge_addresses: Vec<(BridgeState, BridgeCondition)>,
    /// The peers.
    pub peers: Vec<PeerFigures>,
    /// The private pools.
    pub private_pools: Vec<PrivatePoolFigures>,
}

/// The clients of a NAT class in the last two minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientFigures {
    /// The class.
    pub class: NatClass,
    /// The number of different clients.
    pub recent: usize,
    /// Those of them whose last reply was no answer.
    pub unserved: usize,
}

/// The state of a peer at a scrape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerFigures {
    /// The name of the peer in the configuration.
    pub name: PeerName,
    /// True if the peer is connected and its identity was verified.
    pub is_connected: bool,
    /// The proxies that the peer can lend us, by pool, as far as that is fresh.
    pub supply: [usize; NatClass::ALL.len()],
    /// The state of the peer's circuit breaker.
    pub circuit: CircuitState,
}

/// The memory currently held by requests, responses and connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryFigures {
    /// Bytes of requests in progress and of responses not yet written.
    pub bytes_in_flight: usize,
    /// The upper limit of `bytes_in_flight`.
    pub max_bytes_in_flight: usize,
    /// Requests and idle connections dropped to make room for others, since the start.
    pub revoked: u64,
    /// The system's memory limit for the program; `None` without a limit.
    pub limit_bytes: Option<u64>,
}

impl Families {
    /// Sets all gauges.
    pub(super) fn show(&self, snapshot: &GaugeSnapshot) {
        for nat in NatType::ALL {
            for r#type in self.proxy_types.iter() {
                let count = sum(&snapshot.parked, |(other, nat_type, _)| {
                    *other == r#type && *nat_type == nat
                });
                let labels = ProxyLabels::new(nat, r#type);
                self.available_proxies.get_or_create(&labels).set(count);
            }
        }
        for pool in NatClass::ALL {
            let labels = PoolLabels::new(pool);
            let parked = sum(&snapshot.parked, |(_, nat, _)| NatClass::of(*nat) == pool);
            self.parked_polls.get_or_create(&labels).set(parked);
            let queued = snapshot
                .queued
                .iter()
                .find(|(class, _)| *class == pool)
                .map_or(0, |(_, count)| gauge(*count));
            self.queued_clients.get_or_create(&labels).set(queued);
        }
        self.matched_clients.set(gauge(snapshot.matched));
        for &(pool, interval) in &snapshot.poll_intervals {
            let gauge = self.poll_interval.get_or_create(&PoolLabels::new(pool));
            gauge.set(interval.as_secs_f64());
        }
        self.show_bridges(&snapshot.bridge_addresses);
        for figures in &snapshot.clients {
            let labels = ClientLabels::new(figures.class);
            let recent = self.recent_clients.get_or_create(&labels);
            recent.set(gauge(figures.recent));
            let unserved = self.unserved_clients.get_or_create(&labels);
            unserved.set(gauge(figures.unserved));
        }
        self.show_peers(&snapshot.peers);
    }

    fn show_bridges(&self, addresses: &[(BridgeState, BridgeCondition)]) {
        for state in BridgeState::ALL {
            for health in BridgeCondition::ALL {
                let alike = addresses.iter().filter(|it| **it == (state, health));
                let labels = BridgeAddressLabels::new(state, health);
                let shown = self.bridge_addresses.get_or_create(&labels);
                shown.set(gauge(alike.count()));
            }
        }
    }

    /// Sets the peers' gauges, and removes those of former peers.
    fn show_peers(&self, peers: &[PeerFigures]) {
        self.peer_connected.clear();
        self.peer_supply.clear();
        self.peer_circuit.clear();
        for figures in peers {
            let peer = &figures.name;
            let connected = self
                .peer_connected
                .get_or_create(&PeerLabels::new(peer.clone()));
            connected.set(i64::from(figures.is_connected));
            for pool in NatClass::ALL {
                let labels = PeerPoolLabels::new(peer.clone(), pool);
                let supply = gauge(figures.supply[pool as usize]);
                self.peer_supply.get_or_create(&labels).set(supply);
            }
            seed1(&self.peer_circuit, |state| {
                CircuitLabels::new(peer.clone(), state)
            });
            let labels = CircuitLabels::new(peer.clone(), figures.circuit);
            self.peer_circuit.get_or_create(&labels).set(1);
        }
    }
}

type Parked = (ProxyType, NatType, usize);

fn sum(parked: &[Parked], wanted: impl Fn(&Parked) -> bool) -> i64 {
    let wanted = parked.iter().filter(|parked| wanted(parked));
    gauge(wanted.map(|(_, _, count)| count).sum())
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
