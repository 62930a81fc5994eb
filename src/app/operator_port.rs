//! The operator endpoints and the status page: plain HTTP on separate addresses.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::Config;
use crate::http::Endpoints;
use crate::http::operator::{DEFAULT_ADDRESS, OperatorListen, Settings};
use crate::http::status_page;
use crate::listener::accounts::{Accounts, Bounds};
use crate::listener::{self, Closing, ClosingStage, Server};
use crate::telemetry::SETTINGS;

use super::listen::cannot_listen;
use super::process_metrics::OperatorConnections;
use super::supervisor::Supervisor;
use super::systemd::sockets::{self, Sockets};

const SETTING: &str = "operator.listen";
const STATUS_SETTING: &str = "status.listen";

/// The time for connections to close.
const CLOSING_PATIENCE: Duration = Duration::from_millis(500);

/// Enough for a few programs that poll every few seconds.
const MAX_CONNECTIONS: usize = 64;
/// Enough for all readers of the live status page besides, who may share an address.
const MAX_STATUS_CONNECTIONS: usize = 128;
const MAX_STREAMS: u32 = 16;

/// The open sockets of the operator endpoints and of the status page.
pub(super) struct OperatorSockets {
    pub(super) operator: Vec<TcpListener>,
    pub(super) status: Vec<TcpListener>,
    status_settings: status_page::Settings,
}

/// Opens the configured addresses, or takes the sockets from the service manager.
pub(super) async fn open(
    config: &Config,
    sockets: &mut Sockets,
) -> anyhow::Result<OperatorSockets> {
    Ok(OperatorSockets {
        operator: open_endpoints(&config.operator, sockets).await?,
        status: bind_all(STATUS_SETTING, &config.status.listen).await?,
        status_settings: config.status.clone(),
    })
}

async fn open_endpoints(
    settings: &Settings,
    sockets: &mut Sockets,
) -> anyhow::Result<Vec<TcpListener>> {
    let inherited = sockets.take(sockets::OPERATOR)?;
    if !inherited.is_empty() {
        tracing::info!("using the service manager's socket in place of {SETTING}");
        return Ok(inherited);
    }
    if settings.listen == OperatorListen::IfPossible {
        return Ok(bind_if_possible().await);
    }
    bind_all(SETTING, settings.listen.addresses()).await
}

async fn bind_all(setting: &'static str, addresses: &[String]) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for addr in addresses {
        let bound = listener::bind(addr).await;
        listeners.extend(bound.map_err(|error| cannot_listen(setting, addr, &error))?);
    }
    Ok(listeners)
}

/// A failure is only a warning: this address was not configured, and a second broker may
/// be here.
async fn bind_if_possible() -> Vec<TcpListener> {
    let bound = listener::bind(DEFAULT_ADDRESS).await;
    bound.unwrap_or_else(|error| {
        tracing::warn!(
            target: SETTINGS,
            "{}, so there are no endpoints for operators: set {SETTING} to another address, or to off",
            cannot_listen(SETTING, DEFAULT_ADDRESS, &error)
        );
        Vec::new()
    })
}

/// The running operator endpoints, and the status page.
#[derive(Debug)]
pub(super) struct OperatorPort {
    closing: Closing,
    servers: JoinSet<()>,
}

impl OperatorPort {
    /// Serves until [`Self::close`], so that the shutdown can be observed, too.
    pub(super) fn start(
        sockets: OperatorSockets,
        endpoints: &Endpoints,
        supervisor: &Supervisor,
    ) -> Self {
        let closing = Closing::default();
        let mut servers = JoinSet::new();
        let mut serve = |name: &'static str, listeners: Vec<TcpListener>, endpoints, limits| {
            let server = Arc::new(Server::new(
                limits,
                None,
                endpoints,
                Arc::new(OperatorConnections::new()),
                Accounts::new(Bounds::default()),
                closing.clone(),
            ));
            for listener in listeners {
                let run = Arc::clone(&server).run(listener);
                servers.spawn(supervisor.watch(name, run));
            }
        };
        serve(
            "the listener for operators",
            sockets.operator,
            endpoints.for_operators(),
            limits(MAX_CONNECTIONS, MAX_CONNECTIONS / 4),
        );
        let status = endpoints.for_status(&sockets.status_settings);
        serve(
            "the listener of the status page",
            sockets.status,
            status,
            limits(MAX_STATUS_CONNECTIONS, MAX_STATUS_CONNECTIONS / 4 * 3),
        );
        Self { closing, servers }
    }

    /// Shuts down after the current requests, or after a short time-out.
    pub(super) async fn close(mut self) {
        self.closing.advance(ClosingStage::Closing);
        let closed = timeout(CLOSING_PATIENCE, async {
            while self.servers.join_next().await.is_some() {}
        });
        // Any others end with the program.
        drop(closed.await);
    }
}

fn limits(connections: usize, of_peer: usize) -> listener::Settings {
    listener::Settings {
        max_connections: connections,
        max_connections_per_peer: of_peer,
        http2_max_streams: MAX_STREAMS,
        ..listener::Settings::default()
    }
}
