//! Borrowing: other operators' brokers are asked for a proxy when this one has
//! none. The other direction, lending, is `grpc::federation`, which decodes, and
//! [`broker::lending`](crate::broker::lending), which decides.
//!
//! ```text
//! broker.rs  ── Overflow ──> federation.rs
//!                            ├── peers     whom to ask. Pure.
//!                            ├── link      one task a peer: connects, learns what
//!                            │             it has, and comes back after a failure
//!                            ├── call      one offer, with one peer after the other
//!                            ├── convert   the messages of the protocol
//!                            └── dial      how a connection is made: a trait
//! ```
//!
//! [`Federation::run`] keeps a link to each peer, and [`Federation`] is what the
//! broker asks. It opens no socket and knows no TLS: connections come from a
//! [`Dial`], which says by what names the other side has proved to be known. So it
//! runs on whatever network there is, in whatever time: the clock is the broker's,
//! timers are tokio's, and the seed of all randomness is given to [`Federation::new`].
//! On the other side `grpc::federation::serve` takes connections of any kind.
//!
//! Nothing is shared between brokers, and none waits for another but with an
//! offer: one that has no peers left is a broker like any other.

mod call;
mod convert;
pub mod dial;
mod error;
mod link;
mod peers;
pub mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::{Notify, watch};
use tonic::transport::Channel;
use tracing::Level;

use crate::broker::clock;
use crate::broker::overflow::{Borrowing, Overflow, PeerStatus, Supplied, Wanted};
use crate::metrics::Metrics;
use crate::metrics::labels::PeerName;
use crate::telemetry::{Kind, LogLimits};
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;

pub use dial::{Dial, DialTarget, Dialed};
pub use settings::Settings;

use link::Links;
use peers::{Need, PeerProblem, Peers};

/// The longest session description that brokers exchange, in bytes.
pub const LENGTH_MAX: usize = 100_000;
/// So many troubles of a peer are logged in a period.
const LOGGED_MAX: u32 = 10;
const LOG_PERIOD: Duration = Duration::from_mins(1);
const TROUBLE: Kind = Kind::new(Level::INFO, "federation: connections and troubles");

/// The other brokers, as this one asks them.
pub struct Federation {
    state: Mutex<FederationState>,
    /// A peer says what it has.
    reported: Notify,
    /// Whom there should be a link to.
    targets: watch::Sender<BTreeSet<DialTarget>>,
    dial: Arc<dyn Dial>,
    metrics: Arc<Metrics>,
    troubles: LogLimits,
}

struct FederationState {
    peers: Peers,
    rng: Rng,
    channels: BTreeMap<PeerName, Channel>,
    configured: Settings,
    /// Where discovery has found brokers.
    found: BTreeSet<String>,
}

impl Federation {
    /// Knows nobody yet. `seed` is random.
    pub fn new(dial: Arc<dyn Dial>, metrics: Arc<Metrics>, seed: u64) -> Self {
        Self {
            state: Mutex::new(FederationState {
                peers: Peers::default(),
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

    /// Puts other settings in force. Links to those that stay are kept.
    pub fn configure(&self, settings: &Settings) {
        for peer in &settings.peers {
            self.metrics.peer_configured(&peer.id());
        }
        let mut state = self.state();
        state.peers.configure(&settings.peers);
        state.configured = settings.clone();
        self.set_targets(&state);
    }

    /// These addresses (`HOST:PORT`) are where brokers were found that have no URL
    /// in the configuration. Who they are they have to prove.
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

    /// Keeps a link to each peer. Never returns.
    pub async fn run(self: Arc<Self>) {
        let mut targets = self.targets.subscribe();
        let mut links = Links::default();
        loop {
            let wanted = targets.borrow_and_update().clone();
            links.set(&self, wanted);
            if targets.changed().await.is_err() {
                return;
            }
        }
    }

    /// Keeps what is wrong with a peer, or somebody who was discovered, for the
    /// operator, and logs it if it is something else than before.
    fn note_problem(&self, peer: Option<&PeerName>, what: &str, problem: &PeerProblem) {
        let is_new = peer.is_none_or(|peer| self.state().peers.failed(peer, problem));
        let name = peer.map_or("discovered", PeerName::as_str);
        if is_new && let Some(suppressed) = self.troubles.admit(name, clock::now()) {
            let problem = &problem.words;
            tracing::warn!(peer = name, problem, suppressed, "federation: {what}");
        }
    }

    /// What is known is whole at any time, even if a holder of the lock panicked.
    fn state(&self) -> MutexGuard<'_, FederationState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Overflow for Federation {
    fn has_supply(&self, class: NatClass, fingerprint: Fingerprint) -> bool {
        let need = Need { class, fingerprint };
        self.state().peers.has_supply(clock::now(), need)
    }

    fn supplied(&self, class: NatClass, fingerprint: Fingerprint) -> Supplied<'_> {
        Box::pin(async move {
            loop {
                let reported = self.reported.notified();
                if self.has_supply(class, fingerprint) {
                    return;
                }
                reported.await;
            }
        })
    }

    fn borrow<'a>(&'a self, wanted: &'a Wanted) -> Borrowing<'a> {
        Box::pin(self.ask_peers(wanted))
    }

    fn peers(&self) -> Vec<PeerStatus> {
        self.state().peers.statuses(clock::now())
    }
}

impl fmt::Debug for Federation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Federation").finish_non_exhaustive()
    }
}

/// Whom there should be a link to.
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
    if settings
        .peers
        .iter()
        .any(settings::PeerSettings::is_discovered)
    {
        let found = found.iter().cloned();
        targets.extend(found.map(|addr| DialTarget { addr, peer: None }));
    }
    targets
}
