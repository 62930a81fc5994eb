//! The plan of a simulation, from its seed.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use snowflake_broker::federation::settings::{PeerSettings, Settings};

use crate::simulation::liar::Lie;
use crate::simulation::network::addr;

/// The number of brokers.
pub(crate) const BROKERS: usize = 5;
/// The name of the peer that lies.
pub(crate) const LIAR: &str = "liar";
/// The time of the first fault, when the brokers have found each other.
pub(crate) const CONNECTED: Duration = Duration::from_secs(1);
/// The time of the last client and proxy, when all faults are repaired.
pub(crate) const MENDED: Duration = Duration::from_secs(12);
/// The time at which all brokers have found each other again: a dead link is detected in
/// 4.5 s, and a peer is back in use 5 s later.
pub(crate) const RECONNECTED: Duration = Duration::from_secs(22);
/// The time at which nothing may be left, less than a minute after the last arrival.
pub(crate) const OVER: Duration = Duration::from_secs(30);

/// The relations between brokers, and everything else that differs between simulations.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// The pairs of borrowers and lenders, as numbers of brokers.
    borrows: BTreeSet<(usize, usize)>,
    pub(crate) brokers: Vec<BrokerPlan>,
    pub(crate) lie: Lie,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct BrokerPlan {
    /// The share of proxies among arrivals.
    pub(crate) proxies: f64,
    reserve: usize,
    max_in_flight: usize,
    max_per_second: u32,
}

/// The name of a broker.
pub(crate) fn name(broker: usize) -> String {
    format!("broker-{broker}")
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let pairs = (0..BROKERS)
            .flat_map(|from| (0..BROKERS).map(move |to| (from, to)))
            .filter(|(from, to)| from != to);
        let borrows = pairs.filter(|_| rng.f64() < 0.7).collect();
        Self {
            seed,
            borrows,
            brokers: (0..BROKERS).map(|_| BrokerPlan::new(&mut rng)).collect(),
            lie: Lie::any(&mut rng),
        }
    }

    /// Returns true if a client of the borrower may get a proxy of the lender.
    pub(crate) fn lends(&self, lender: &str, borrower: &str) -> bool {
        let pair = |(from, to): &(usize, usize)| name(*from) == borrower && name(*to) == lender;
        lender == borrower || borrower == LIAR || self.borrows.iter().any(pair)
    }

    /// The settings of a broker.
    pub(crate) fn settings(&self, broker: usize) -> Settings {
        let own = self.brokers[broker];
        let peer = |peer_name: String, lend, borrow| PeerSettings {
            url: Some(format!("https://{}", addr(&peer_name))),
            name: peer_name,
            lend,
            borrow,
            max_in_flight: own.max_in_flight,
            max_per_second: own.max_per_second.try_into().unwrap(),
            private_pools: Vec::new(),
        };
        let others = (0..BROKERS).filter(|other| *other != broker);
        let mut peers: Vec<_> = others
            .map(|other| {
                let lend = self.borrows.contains(&(other, broker));
                let borrow = self.borrows.contains(&(broker, other));
                peer(name(other), lend, borrow)
            })
            .collect();
        peers.push(peer(LIAR.to_owned(), true, true));
        Settings {
            reserve: own.reserve,
            peers,
            ..Settings::default()
        }
    }
}

impl BrokerPlan {
    fn new(rng: &mut Rng) -> Self {
        Self {
            proxies: [0.1, 0.5, 0.9][rng.usize(..3)],
            reserve: rng.usize(..2),
            max_in_flight: [2, 100][rng.usize(..2)],
            max_per_second: [5, 100][rng.usize(..2)],
        }
    }
}
