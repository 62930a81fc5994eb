//! The sockets of the server. All of them are opened before anything is served, except
//! those for HTTP-01, which is optional.

use tokio::net::TcpListener;

use crate::config::Config;
use crate::listener;

use super::admin::{self, AdminSocket};
use super::listen::cannot_listen;
use super::nat_probe::NatProbeSockets;
use super::operator_port::OperatorSockets;
use super::systemd::sockets::{self, Sockets};
use super::{federation, operator_port};

/// All configured sockets, open.
pub(super) struct OpenSockets {
    pub(super) http: Vec<TcpListener>,
    /// True if the service manager passed the `http` sockets.
    pub(super) has_inherited_http: bool,
    /// Passed sockets for HTTP-01; otherwise they are opened when needed.
    pub(super) acme: Vec<TcpListener>,
    pub(super) admin: Vec<AdminSocket>,
    pub(super) peers: Vec<TcpListener>,
    pub(super) operator: OperatorSockets,
    pub(super) probe: NatProbeSockets,
}

impl OpenSockets {
    /// Opens the sockets, or takes them from the service manager.
    pub(super) async fn open(config: &Config, mut sockets: Sockets) -> anyhow::Result<Self> {
        sockets.warn_of_missing(config);
        let inherited = sockets.take(sockets::HTTP)?;
        let acme = sockets.take(sockets::ACME)?;
        let admin = admin::open(&config.admin, &mut sockets).await?;
        let peers = federation::open(&config.federation, &mut sockets).await?;
        let operator = operator_port::open(config, &mut sockets).await?;
        sockets.refuse_rest()?;
        Ok(Self {
            has_inherited_http: !inherited.is_empty(),
            http: own_if_none(config, inherited).await?,
            acme,
            admin,
            peers,
            operator,
            probe: NatProbeSockets::open(&config.probe).await?,
        })
    }
}

/// The sockets from the service manager, or else our own.
async fn own_if_none(
    config: &Config,
    inherited: Vec<TcpListener>,
) -> anyhow::Result<Vec<TcpListener>> {
    if !inherited.is_empty() {
        tracing::info!("using the service manager's socket in place of listener.addr");
        return Ok(inherited);
    }
    let addr = &config.listener.addr;
    listener::bind(addr)
        .await
        .map_err(|error| cannot_listen("listener.addr", addr, &error))
}
