//! Values that somebody else knows, as gauges show them.

use std::time::Duration;

use super::families::{
    CircuitLabels, Families, PeerLabels, PeerPoolLabels, PoolLabels, ProxyLabels, seed1,
};
use super::labels::{CircuitState, PeerName};
use crate::wire::nat::{NatClass, NatType};
use crate::wire::proxy::ProxyType;

/// The values of the gauges when metrics are asked for.
#[derive(Clone, Debug, Default)]
pub struct GaugeSnapshot {
    /// Parked polls of each type and NAT, where there are any.
    pub parked: Vec<(ProxyType, NatType, usize)>,
    /// Queued clients of each class.
    pub queued: Vec<(NatClass, usize)>,
    /// Clients that wait for an answer.
    pub matched: usize,
    /// The interval at which the proxies of each pool are told to poll.
    pub poll_intervals: Vec<(NatClass, Duration)>,
    /// The brokers that can be asked when this one has no proxy.
    pub peers: Vec<PeerFigures>,
}

/// The state of a peer when metrics are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerFigures {
    /// Its name in the configuration.
    pub name: PeerName,
    /// True if it can be asked: we are connected, and it is who it should be.
    pub is_connected: bool,
    /// The proxies that it has for us, by pool, as far as that is fresh.
    pub supply: [usize; NatClass::ALL.len()],
    /// The readiness to ask it, after how it has answered of late.
    pub circuit: CircuitState,
}

/// The memory that requests, responses and connections hold at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryFigures {
    /// Bytes of requests, and of responses that are not written yet.
    pub bytes_in_flight: usize,
    /// The bound of these.
    pub max_bytes_in_flight: usize,
    /// Requests and idle connections that had to make room for others, since the
    /// start.
    pub revoked: u64,
    /// Bytes that the system lets the program have; `None` without a bound.
    pub limit_bytes: Option<u64>,
}

impl Families {
    /// Sets the gauges.
    pub(super) fn show(&self, snapshot: &GaugeSnapshot) {
        for nat in NatType::ALL {
            for r#type in ProxyType::ALL {
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
        self.show_peers(&snapshot.peers);
    }

    /// Sets the gauges of peers; of those that are no peers any more there are
    /// none.
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
