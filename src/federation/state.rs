//! The state shared by links and calls: the configured peers, what is known of each, and
//! the connections.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::{Notify, watch};
use tonic::transport::Channel;
use tracing::Level;

use crate::broker::clock;
use crate::metrics::Metrics;
use crate::metrics::labels::PeerName;
use crate::peers::{PeerProblem, Peers};
use crate::telemetry::{Kind, LogLimits};

use super::dial::{Dial, DialTarget};
use super::settings::{PeerSettings, Settings};

/// The maximum number of problems logged per peer and period.
const LOGGED_MAX: u32 = 10;
/// The age at which a report no longer counts: three heartbeats are missing.
const FRESH_FOR: Duration = Duration::from_secs(15);
const LOG_PERIOD: Duration = Duration::from_mins(1);
const TROUBLE: Kind = Kind::new(Level::INFO, "federation: connections and troubles");

/// The borrowing side of the federation.
pub struct Federation {
    state: Mutex<FederationState>,
    /// Notified of every supply report.
    pub(super) reported: Notify,
    /// The targets of links.
    pub(super) targets: watch::Sender<BTreeSet<DialTarget>>,
    pub(super) dial: Arc<dyn Dial>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) troubles: LogLimits,
}

pub(super) struct FederationState {
    pub(super) peers: Peers,
    pub(super) rng: Rng,
    pub(super) channels: BTreeMap<PeerName, Channel>,
    pub(super) configured: Settings,
    /// The addresses of brokers found by discovery.
    found: BTreeSet<String>,
}

impl Federation {
    /// A federation without peers. `seed` is random.
    pub fn new(dial: Arc<dyn Dial>, metrics: Arc<Metrics>, seed: u64) -> Self {
        Self {
            state: Mutex::new(FederationState {
                peers: Peers::new(FRESH_FOR),
                rng: Rng::with_seed(seed),
                channels: BTreeMap::new(),
                configured: Settings::default(),
                found: BTreeSet::new(),
            }),
            reported: Notify::new(),
            targets: watch::Sender::default(),
            dial,
            metrics,
            troubles: LogLimits::new(TROUBLE, LOGGED_MAX, LOG_PERIOD),
        }
    }

    /// Applies new settings. Links to remaining peers are kept.
    pub fn configure(&self, settings: &Settings) {
        for peer in &settings.peers {
            self.metrics.peer_configured(&peer.id());
        }
        let mut state = self.state();
        let terms = settings.peers.iter();
        state
            .peers
            .configure(terms.map(|peer| (peer.id(), peer.borrowing_terms())));
        state.configured = settings.clone();
        self.set_targets(&state);
    }

    /// Sets the addresses (`HOST:PORT`) at which discovery has found brokers. They still
    /// must prove their identity.
    pub fn set_found(&self, found: BTreeSet<String>) {
        let mut state = self.state();
        state.found = found;
        self.set_targets(&state);
    }

    fn set_targets(&self, state: &FederationState) {
        let targets = targets(&state.configured, &state.found);
        self.targets.send_if_modified(|current| {
            let is_other = *current != targets;
            *current = targets;
            is_other
        });
    }

    /// Records a problem with a peer or a discovered broker for the operator, and logs it
    /// if it is a new one.
    pub(super) fn note_problem(&self, peer: Option<&PeerName>, what: &str, problem: &PeerProblem) {
        let is_new = peer.is_none_or(|peer| self.state().peers.failed(peer, problem));
        let name = peer.map_or("discovered", PeerName::as_str);
        if is_new && let Some(suppressed) = self.troubles.admit(name, clock::now()) {
            let problem = &problem.words;
            tracing::warn!(peer = name, problem, suppressed, "federation: {what}");
        }
    }

    /// Locks the state, which is consistent even if a thread panicked while holding the
    /// lock.
    pub(super) fn state(&self) -> MutexGuard<'_, FederationState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Federation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Federation").finish_non_exhaustive()
    }
}

/// The targets that should have links.
fn targets(settings: &Settings, found: &BTreeSet<String>) -> BTreeSet<DialTarget> {
    let peers = settings.peers.iter();
    let mut targets: BTreeSet<DialTarget> = peers
        .filter_map(|peer| {
            Some(DialTarget {
                addr: peer.addr()?.to_owned(),
                peer: Some(peer.id()),
            })
        })
        .collect();
    if settings.peers.iter().any(PeerSettings::is_discovered) {
        let found = found.iter().cloned();
        targets.extend(found.map(|addr| DialTarget { addr, peer: None }));
    }
    targets
}
