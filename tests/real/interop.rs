//! The client and the proxy shipped by Debian find each other through our broker.
//!
//! Nothing here is simulated: they open a WebRTC data channel, and data written into the
//! client's SOCKS port arrives at the bridge's WebSocket relay.

mod amp_cache;
mod drained_bridge;
mod private_pool;

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_socks::tcp::Socks5Stream;

use crate::support::programs::{Programs, logs, stun_address};
use crate::support::ready::{listens, polls, socks_address};
use crate::support::relay::Relay;
use crate::support::wait::LONG_ENOUGH;
use crate::support::{namespace, port};

/// The data that a client writes to a bridge, short enough for a single packet.
const GREETING: &[u8] = b"a greeting to the bridge";

/// The first bytes of each connection from a client to a bridge, followed by its
/// session's ID.
const TURBO_TUNNEL: [u8; 8] = [0x12, 0x93, 0x60, 0x5d, 0x27, 0x81, 0x75, 0xf5];

/// The way in which the client asks for a proxy.
#[derive(Clone, Copy)]
enum Rendezvous {
    Http,
    AmpCache,
}

#[tokio::test]
async fn debian_client_reaches_the_bridge_by_http() {
    check("debian_client_reaches_the_bridge_by_http", Rendezvous::Http).await;
}

#[tokio::test]
async fn debian_client_reaches_the_bridge_by_amp_cache() {
    check(
        "debian_client_reaches_the_bridge_by_amp_cache",
        Rendezvous::AmpCache,
    )
    .await;
}

/// The body of the test `name`, in both of its copies.
async fn check(name: &str, rendezvous: Rendezvous) {
    let outcome = if namespace::entered() {
        reach_the_bridge(rendezvous).await
    } else {
        namespace::run_inside(&format!("interop::{name}")).await
    };
    if let Err(error) = outcome {
        panic!("{error:#}");
    }
}

async fn reach_the_bridge(rendezvous: Rendezvous) -> Result<()> {
    namespace::connect().await?;
    let scratch = tempfile::tempdir()?;
    let programs = Programs {
        scratch: scratch.path(),
    };

    let stream = match greet_bridge(&programs, rendezvous).await {
        Ok(stream) => stream,
        Err(error) => bail!("{error:#}\n{}", logs(scratch.path())?),
    };

    ensure!(
        stream.starts_with(&TURBO_TUNNEL),
        "not a client's stream: {stream:02x?}"
    );
    Ok(())
}

/// Starts all programs, sends the greeting, and returns the data that arrives at the
/// bridge.
async fn greet_bridge(programs: &Programs<'_>, rendezvous: Rendezvous) -> Result<Vec<u8>> {
    let mut relay = Relay::listen().await?;
    let broker_address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()?));

    let mut stun_server = programs.stun_server()?;
    listens(&mut stun_server, &stun_address()).await?;
    let mut broker = programs.broker(broker_address, &relay, &[])?;
    listens(&mut broker, &broker_address.to_string()).await?;
    let mut proxy = programs.proxy(broker_address)?;
    polls(&mut proxy, broker_address).await?;
    let broker_flags = match rendezvous {
        Rendezvous::Http => vec!["-url".to_owned(), format!("http://{broker_address}/")],
        Rendezvous::AmpCache => amp_cache::open(broker_address).await?,
    };
    let mut client = programs.client(&broker_flags)?;
    let socks_address = socks_address(&mut client).await?;

    // The client ignores the target: the broker chooses the bridge.
    let mut socks = Socks5Stream::connect(socks_address.as_str(), "192.0.2.1:1").await?;
    socks.write_all(GREETING).await?;
    timeout(LONG_ENOUGH, relay.receive(GREETING))
        .await
        .context("the greeting does not arrive at the bridge")?
}
