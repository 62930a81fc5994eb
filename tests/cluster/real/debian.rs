//! Debian's client and proxies meet across a cluster, in a network of their own: each of their
//! requests goes to the next node.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_socks::tcp::Socks5Stream;

use crate::real::access::Access;
use crate::real::books::Books;
use crate::real::haproxy::Balance;
use crate::real::machine::Machine;
use crate::real::nats::Servers;
use crate::real::site::Site;
use crate::real::tell;
use crate::support::namespace;
use crate::support::programs::{OUR_BRIDGE, Programs, logs, stun_address};
use crate::support::ready::{listens, polls, socks_address};
use crate::support::relay::Relay;
use crate::support::wait::LONG_ENOUGH;

const NAME: &str = "real::debian::debian_client_and_proxy_meet_across_nodes";
/// The number of clients after which one was served at another node. Three nodes take turns,
/// so it takes two or three.
const CLIENTS_MAX: usize = 20;

#[tokio::test]
async fn debian_client_and_proxy_meet_across_nodes() {
    let outcome = if namespace::entered() {
        meet().await
    } else {
        namespace::run_inside_for(NAME, LONG_ENOUGH)
            .await
            .map(|output| {
                let lines = output.lines().filter(|line| line.contains("clients"));
                lines.for_each(tell);
            })
    };
    if let Err(error) = outcome {
        panic!("{error:#}");
    }
}

async fn meet() -> Result<()> {
    namespace::connect().await?;
    let scratch = tempfile::tempdir()?;
    let relay = Relay::listen().await?;
    let site = start_nodes(&relay, scratch.path()).await?;
    let balancer = site.balancer(Machine::HERE, Balance::Requests).await;
    match greet_until_served_elsewhere(&site, balancer.address, relay, scratch.path()).await {
        Ok(report) => tell(&report),
        Err(error) => bail!("{error:#}\n{}", logs(scratch.path())?),
    }
    Ok(())
}

/// Three nodes, which know the relay as the clients' default bridge.
async fn start_nodes(relay: &Relay, scratch: &Path) -> Result<Site> {
    let bridge = json!({
        "displayName": "default",
        "webSocketAddress": relay.url(),
        "fingerprint": OUR_BRIDGE,
    });
    let bridges = scratch.join("bridges.json");
    fs::write(&bridges, format!("{bridge}\n"))?;
    let folder = tempfile::tempdir()?;
    let servers = Servers::start(folder.path(), Access::Open).await;
    let mut site = Site::without_nodes(folder, servers);
    for name in ["a", "b", "c"] {
        let place = site
            .place(Machine::HERE, name)
            .with("SNOWFLAKE_BROKER_BROKER__BRIDGE_LIST_PATH", &bridges)
            .with(
                "SNOWFLAKE_BROKER_BROKER__ALLOWED_RELAY_PATTERN",
                relay.pattern(),
            );
        site.start_again(place).await;
    }
    site.all_know_all().await;
    Ok(site)
}

/// Brings clients, each of which greets the bridge, until one was served by a proxy at another
/// node, and an answer has come to another node than its poll.
async fn greet_until_served_elsewhere(
    site: &Site,
    front: SocketAddr,
    mut relay: Relay,
    scratch: &Path,
) -> Result<String> {
    let programs = Programs { scratch };
    let mut stun_server = programs.stun_server()?;
    listens(&mut stun_server, &stun_address()).await?;
    let mut proxy = programs.proxy(front)?;
    polls(&mut proxy, front).await?;
    for number in 1..=CLIENTS_MAX {
        greet(scratch, number, front, &mut relay).await?;
        let books = Books::of(site).await;
        let ([elsewhere, _], strays) = (books.answered_elsewhere(), books.strays());
        if elsewhere > 0 && strays > 0 {
            return Ok(format!(
                "{number} clients of Debian's greeted the bridge: {elsewhere} served at another \
                 node, {strays} answers that came to another"
            ));
        }
    }
    bail!("{CLIENTS_MAX} clients, and none was served by a proxy at another node");
}

/// A client greets the bridge and leaves.
async fn greet(scratch: &Path, number: usize, front: SocketAddr, relay: &mut Relay) -> Result<()> {
    let folder = scratch.join(format!("client-{number}"));
    fs::create_dir(&folder)?;
    let programs = Programs { scratch: &folder };
    let mut client = programs.client(&["-url".to_owned(), format!("http://{front}/")])?;
    let socks = socks_address(&mut client).await?;
    let mut socks = Socks5Stream::connect(socks.as_str(), "192.0.2.1:1").await?;
    let greeting = format!("greeting {number} by way of a cluster");
    socks.write_all(greeting.as_bytes()).await?;
    let stream = timeout(LONG_ENOUGH, relay.receive(greeting.as_bytes()))
        .await
        .with_context(|| format!("no greeting arrives\n{}", logs(&folder).unwrap_or_default()))??;
    ensure!(!stream.is_empty());
    Ok(())
}
