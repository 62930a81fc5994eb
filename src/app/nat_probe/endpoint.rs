//! The probe server's endpoint, with all that it needs from outside.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use http::request::Parts;
use tokio::net::UdpSocket;

use crate::app::entropy;
use crate::app::supervisor::Supervisor;
use crate::config::Config;
use crate::http::Settings;
use crate::http::client_address::{ClientAddress, client_address};
use crate::listener::RemoteAddress;
use crate::listener::accounts::Accounts;
use crate::metrics::Metrics;
use crate::probe::{NatProbe, ProbeSources};
use crate::wire::public_address::public;

use super::tells_strangers;

/// The endpoint. Its probes run until the program stops, at most.
pub(super) fn router(
    config: &Config,
    metrics: &Arc<Metrics>,
    accounts: &Arc<Accounts>,
    supervisor: &Supervisor,
) -> anyhow::Result<Router> {
    let (http, owner) = (config.http.clone(), supervisor.clone());
    let sources = ProbeSources {
        metrics: Arc::clone(metrics),
        accounts: Arc::clone(accounts),
        sender: Box::new(move |head| sender(head, &http)),
        spawn: Box::new(move |probe| owner.spawn(probe)),
        bind,
        may_send_to: |address| public(address).is_some(),
        tells_strangers: tells_strangers(&config.probe),
        seed: entropy::seed()?,
    };
    Ok(NatProbe::new(config.probe.clone(), sources)?.router())
}

/// The address that a request counts against: the peer's, unless a trusted one names
/// another. Reverse proxies that name none, and this machine, have no limit of their own.
fn sender(head: &Parts, settings: &Settings) -> Option<IpAddr> {
    let RemoteAddress(peer) = head.extensions.get()?;
    match client_address(peer.ip(), &head.headers, settings) {
        ClientAddress::Direct(address) if address.is_loopback() => None,
        ClientAddress::Direct(address)
        | ClientAddress::Itself(address)
        | ClientAddress::Forwarded(address)
        | ClientAddress::Claimed { peer: address, .. } => Some(address),
        ClientAddress::Hidden(_) => None,
    }
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}
