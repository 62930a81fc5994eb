//! Authentication of peers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::request::Parts;
use rustls::ServerConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tracing::Level;

use crate::broker::clock;
use crate::causes::short_line;
use crate::grpc::endpoint::{EndpointLimits, TlsEndpoint};
use crate::grpc::identify::CallerAuth;
use crate::listener::{Closing, PeerIdentity, Serve, Server};
use crate::metrics::Metrics;
use crate::metrics::labels::{GrpcListener, PeerName};
use crate::telemetry::{Kind, LogLimits, scrub};

/// The minimum time between logged refusals of one kind for one peer.
const LOG_PERIOD: Duration = Duration::from_mins(1);
/// The maximum number of a peer's watches of the supply. A cluster has up to 64 nodes, each with
/// one, and another while it connects again.
const WATCHES_MAX: usize = 128;
const REFUSED: Kind = Kind::new(Level::WARN, "federation: refused calls");

/// The peers allowed to call, and their endpoint. A reload replaces both.
#[derive(Debug)]
pub struct PeerAuth {
    peers: Arc<ArcSwap<BTreeSet<PeerName>>>,
    endpoint: Arc<TlsEndpoint>,
    refusals: LogLimits,
    watches: Mutex<BTreeMap<PeerName, Arc<Semaphore>>>,
}

impl PeerAuth {
    /// Admits peers with these names, over TLS if `tls` is given.
    pub fn new(
        peers: BTreeSet<PeerName>,
        tls: Option<ServerConfig>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            peers: Arc::new(ArcSwap::from_pointee(peers)),
            endpoint: TlsEndpoint::new(GrpcListener::Federation, tls, metrics),
            refusals: LogLimits::new(REFUSED, 1, LOG_PERIOD),
            watches: Mutex::default(),
        }
    }

    /// Allows a peer to watch the supply once more. It ends when the permit is dropped.
    pub(super) fn watch(&self, peer: &PeerName) -> Result<OwnedSemaphorePermit, Status> {
        // The table is consistent even if a thread panicked while holding the lock.
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let watches = watches.entry(peer.clone());
        let of_peer = Arc::clone(watches.or_insert_with(|| Arc::new(Semaphore::new(WATCHES_MAX))));
        of_peer.try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!(
                "a peer watches the supply {WATCHES_MAX} times at most"
            ))
        })
    }

    /// Replaces the peers and the TLS configuration. Open connections stay, and the new
    /// rules apply from their next call on.
    pub fn set(&self, peers: BTreeSet<PeerName>, tls: Option<ServerConfig>) {
        self.peers.store(Arc::new(peers));
        self.endpoint.set_tls(tls);
    }

    /// A server for this service that admits only these peers.
    pub(super) fn server<S: Serve>(
        &self,
        service: S,
        limits: EndpointLimits,
        closing: Closing,
    ) -> Server<S> {
        let peers = Arc::clone(&self.peers);
        let knows = move |names: &[String]| find(&peers.load(), names).is_some();
        self.endpoint.server(service, limits, knows, closing)
    }

    fn log_stranger(&self, names: &[String]) {
        if let Some(suppressed) = self.refusals.admit("", clock::now()) {
            let names = names.join(", ");
            let names = short_line(&scrub(&names));
            tracing::warn!(%names, suppressed, "federation: refused a broker that is not a peer");
        }
    }

    /// Logs a refusal. `kind` is one of a few words.
    pub(super) fn log_refusal(&self, peer: &PeerName, kind: &str, problem: &str) {
        let name = format!("{peer} {kind}");
        if let Some(suppressed) = self.refusals.admit(&name, clock::now()) {
            tracing::warn!(%peer, problem, suppressed, "federation: refused a peer's call");
        }
    }
}

impl CallerAuth for PeerAuth {
    fn identify(&self, request: &mut Parts, peer: &PeerIdentity) -> Result<(), Status> {
        let names = peer.certificate_names();
        let Some(peer) = find(&self.peers.load(), names) else {
            self.log_stranger(names);
            return Err(Status::permission_denied(
                "none of the names of your certificate is a peer here",
            ));
        };
        request.extensions.insert(peer);
        Ok(())
    }

    fn endpoint(&self) -> &TlsEndpoint {
        &self.endpoint
    }
}

/// The peer with one of these names.
fn find(peers: &BTreeSet<PeerName>, names: &[String]) -> Option<PeerName> {
    let has_name = |peer: &&PeerName| names.iter().any(|name| name == peer.as_str());
    peers.iter().find(has_name).cloned()
}
