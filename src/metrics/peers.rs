//! What goes from broker to broker as it is counted, by peer.

use std::time::Duration;

use super::Metrics;
use super::families::{Circuit, Families, Loan, LoanRefused, Peer, PeerPool, seed1};
use super::labels::{CircuitState, LoanOutcome, LoanRefusal, PeerName};
use crate::wire::nat::NatClass;

/// What is known of a peer when metrics are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerFigures {
    /// Its name in the configuration.
    pub name: PeerName,
    /// Whether it can be asked: we are connected, and it is who it should be.
    pub is_connected: bool,
    /// How many proxies it has for us, by pool, as far as that is fresh.
    pub supply: [usize; NatClass::ALL.len()],
    /// Whether it is asked, after how it has answered of late.
    pub circuit: CircuitState,
}

impl Metrics {
    /// There is a peer of this name: all its series are there from now on.
    pub fn peer_configured(&self, peer: &PeerName) {
        self.families.seed_peer(peer);
    }

    /// A peer was asked for a client of ours, and this came of it.
    pub fn borrowed(&self, peer: &PeerName, outcome: LoanOutcome) {
        let labels = Loan::new(peer, outcome);
        self.families.borrowed.get_or_create(&labels).inc();
    }

    /// A peer has answered a client of ours after so long.
    pub fn borrowed_answer(&self, peer: &PeerName, latency: Duration) {
        let latencies = &self.families.borrowed_latency;
        let histogram = latencies.get_or_create(&Peer::new(peer));
        histogram.observe(latency.as_secs_f64());
    }

    /// A peer did not take an offer of ours.
    pub fn borrowing_refused(&self, peer: &PeerName, reason: LoanRefusal) {
        let labels = LoanRefused::new(peer, reason);
        self.families
            .borrowing_refusals
            .get_or_create(&labels)
            .inc();
    }

    /// A peer asked for a client of its own, and this came of it.
    pub fn lent(&self, peer: &PeerName, outcome: LoanOutcome) {
        let labels = Loan::new(peer, outcome);
        self.families.lent.get_or_create(&labels).inc();
    }

    /// An offer of a peer was not taken.
    pub fn lending_refused(&self, peer: &PeerName, reason: LoanRefusal) {
        let labels = LoanRefused::new(peer, reason);
        self.families.lending_refusals.get_or_create(&labels).inc();
    }
}

impl Families {
    /// Sets the gauges of peers; of those that are no peers any more there are
    /// none.
    pub(super) fn show_peers(&self, peers: &[PeerFigures]) {
        self.peer_connected.clear();
        self.peer_supply.clear();
        self.peer_circuit.clear();
        for figures in peers {
            let peer = &figures.name;
            let connected = self.peer_connected.get_or_create(&Peer::new(peer));
            connected.set(i64::from(figures.is_connected));
            for pool in NatClass::ALL {
                let labels = PeerPool {
                    peer: peer.clone(),
                    pool,
                };
                let supply = figures.supply[pool as usize];
                let supply = i64::try_from(supply).unwrap_or(i64::MAX);
                self.peer_supply.get_or_create(&labels).set(supply);
            }
            seed1(&self.peer_circuit, |state| Circuit {
                peer: peer.clone(),
                state,
            });
            let labels = Circuit {
                peer: peer.clone(),
                state: figures.circuit,
            };
            self.peer_circuit.get_or_create(&labels).set(1);
        }
    }

    fn seed_peer(&self, peer: &PeerName) {
        seed1(&self.borrowed, |outcome| Loan::new(peer, outcome));
        seed1(&self.lent, |outcome| Loan::new(peer, outcome));
        seed1(&self.borrowing_refusals, |reason| {
            LoanRefused::new(peer, reason)
        });
        seed1(&self.lending_refusals, |reason| {
            LoanRefused::new(peer, reason)
        });
        drop(self.borrowed_latency.get_or_create(&Peer::new(peer)));
    }
}

impl Peer {
    fn new(peer: &PeerName) -> Self {
        Self { peer: peer.clone() }
    }
}

impl Loan {
    fn new(peer: &PeerName, outcome: LoanOutcome) -> Self {
        Self {
            peer: peer.clone(),
            outcome,
        }
    }
}

impl LoanRefused {
    fn new(peer: &PeerName, reason: LoanRefusal) -> Self {
        Self {
            peer: peer.clone(),
            reason,
        }
    }
}
