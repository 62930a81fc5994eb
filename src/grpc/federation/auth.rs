//! Authentication of peers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::request::Parts;
use rustls::ServerConfig;
use tonic::Status;
use tracing::Level;

use crate::broker::clock;
use crate::grpc::endpoint::{EndpointLimits, TlsEndpoint};
use crate::grpc::identify::CallerAuth;
use crate::listener::{Closing, PeerIdentity, Serve, Server};
use crate::metrics::Metrics;
use crate::metrics::labels::{GrpcListener, PeerName};
use crate::telemetry::{Kind, LogLimits, scrub};

/// The minimum time between logged refusals of one kind for one peer.
const LOG_PERIOD: Duration = Duration::from_mins(1);
const REFUSED: Kind = Kind::new(Level::WARN, "federation: refused calls");

/// The peers allowed to call, and their endpoint. A reload replaces both.
#[derive(Debug)]
pub struct PeerAuth {
    peers: Arc<ArcSwap<BTreeSet<PeerName>>>,
    endpoint: Arc<TlsEndpoint>,
    refusals: LogLimits,
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
        }
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
            let names = scrub(&names);
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
