//! The federation: the socket for borrowers, the connections to lenders, and TLS for
//! both.

mod dialer;
mod discovery;

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, ensure};
use rustls::{ClientConfig, ServerConfig};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic_health::server::HealthReporter;

use crate::broker::Broker;
use crate::federation::settings::PeerSettings;
use crate::federation::{Federation, Settings};
use crate::grpc::federation::{PeerAuth, lender};
use crate::listener::{self, Closing};
use crate::metrics::Metrics;
use crate::proto::federation::v1::federation_server;
use crate::tls::mutual::{self, Clients};

use super::files::{read_file, read_pair};
use super::listen::cannot_listen;
use super::supervisor::Supervisor;
use super::systemd::sockets::{self, Inherited, Sockets};
use super::{entropy, health};

use dialer::Dialer;

/// Both sides of TLS, with the same certificate.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    server: ServerConfig,
    client: ClientConfig,
}

/// TLS from the settings and the files named there; `None` without files. The error names
/// the setting.
pub(super) fn tls(settings: &Settings) -> anyhow::Result<Option<Tls>> {
    let (Some(cert), Some(key), Some(ca)) =
        (&settings.tls.cert, &settings.tls.key, &settings.tls.ca)
    else {
        return Ok(None);
    };
    let certificate = read_pair("federation.tls", cert, key)?;
    let authorities = read_file("federation.tls.ca", ca)?;
    let clients = Clients::OnlyKnown(&authorities);
    let culprit = || format!("federation.tls.ca: {}", ca.display());
    let server = mutual::server_config(certificate.clone(), clients);
    let client = mutual::client_config(certificate, &authorities);
    Ok(Some(Tls {
        server: server.with_context(culprit)?,
        client: client.with_context(culprit)?,
    }))
}

/// The sockets for borrowers, if configured.
pub(super) async fn open(
    settings: &Settings,
    sockets: &mut Sockets,
) -> anyhow::Result<Vec<TcpListener>> {
    if let Some(inherited) = sockets.take_one(sockets::FEDERATION)? {
        tracing::info!("using the service manager's socket in place of federation.listen");
        let Inherited::Tcp(listener) = inherited else {
            return Err(anyhow!(
                "federation.listen: the inherited socket must be TCP"
            ));
        };
        let has_tls = settings.tls.ca.is_some();
        ensure!(
            has_tls,
            "federation.listen: the inherited socket needs federation.tls"
        );
        return Ok(vec![listener]);
    }
    let Some(addr) = &settings.listen else {
        return Ok(Vec::new());
    };
    listener::bind(addr)
        .await
        .map_err(|error| cannot_listen("federation.listen", addr, &error))
}

/// The federation, as far as a reload replaces its parts.
#[derive(Clone)]
pub(super) struct FederationHandle {
    federation: Arc<Federation>,
    auth: Arc<PeerAuth>,
    dialer: Arc<Dialer>,
    discover: watch::Sender<Option<String>>,
}

impl FederationHandle {
    /// A federation that calls no peers before [`Self::start`].
    pub(super) fn new(metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        let dialer = Arc::new(Dialer::default());
        let dial = Arc::clone(&dialer);
        let federation = Federation::new(dial, Arc::clone(metrics), entropy::seed()?);
        let auth = PeerAuth::new(BTreeSet::new(), None, Arc::clone(metrics));
        Ok(Self {
            federation: Arc::new(federation),
            auth: Arc::new(auth),
            dialer,
            discover: watch::Sender::default(),
        })
    }

    /// The borrowing side.
    pub(super) fn federation(&self) -> Arc<Federation> {
        Arc::clone(&self.federation)
    }

    /// Applies settings. Existing connections stay; a removed peer is refused at its next
    /// call.
    pub(super) fn set(&self, broker: &Broker, settings: &Settings, tls: Option<Tls>) {
        let (server, client) = tls.map(|tls| (tls.server, tls.client)).unzip();
        let names = settings.peers.iter().map(PeerSettings::id);
        self.auth.set(names.collect(), server);
        self.dialer.set(client);
        broker.control().set_lending(settings.lending());
        self.federation.configure(settings);
        self.discover.send_replace(settings.discover.clone());
    }

    /// Begins to borrow from peers, and to serve borrowers on the listeners. `closing`
    /// ends whatever would go on forever.
    pub(super) fn start(
        &self,
        broker: &Arc<Broker>,
        listeners: Vec<TcpListener>,
        closing: Closing,
        supervisor: &Supervisor,
    ) {
        supervisor.keep("federation", Arc::clone(&self.federation).run());
        let discovered = discovery::keep(self.discover.subscribe(), self.federation());
        supervisor.keep("the discovery of peers", discovered);
        if listeners.is_empty() {
            return;
        }
        let health = HealthReporter::new();
        let service = federation_server::SERVICE_NAME;
        supervisor.spawn(health::report(
            health.clone(),
            broker.watch_stage(),
            service,
        ));
        let server = Arc::new(lender(&self.auth, Arc::clone(broker), health, closing));
        for listener in listeners {
            supervisor.keep("the listener for peers", Arc::clone(&server).run(listener));
        }
    }
}
