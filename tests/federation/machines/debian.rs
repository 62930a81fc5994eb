//! Debian's client asks one broker, Debian's proxy polls another, and data written into
//! the client's SOCKS port arrives at the bridge's WebSocket relay.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_socks::tcp::Socks5Stream;

use crate::machines::brokers::{A, B, Site};
use crate::machines::inside;
use crate::support::namespace;
use crate::support::programs::{Programs, stun_address};
use crate::support::ready::{listens, polls, socks_address};
use crate::support::relay::Relay;
use crate::support::wait::LONG_ENOUGH;

/// The data that the client writes, short enough for a single packet.
const GREETING: &[u8] = b"a greeting by way of two brokers";

#[tokio::test]
async fn a_borrowed_proxy_opens_the_data_channel() {
    inside("debian::a_borrowed_proxy_opens_the_data_channel", meet).await;
}

async fn meet(site: &Site) -> Result<String> {
    namespace::connect().await?;
    let mut relay = Relay::listen().await?;
    let settings = bridge_settings(site, &relay)?;
    let _a = site.broker(A, &[(B, B.grpc())], &settings).await?;
    let _b = site.broker(B, &[(A, A.grpc())], &settings).await?;
    let programs = Programs {
        scratch: site.folder(),
    };
    let bytes = greet_bridge(&programs, &mut relay).await?;
    Ok(format!(
        "{bytes} bytes of the client's arrived at the bridge"
    ))
}

/// The relay of this test is the only bridge.
fn bridge_settings(site: &Site, relay: &Relay) -> Result<String> {
    let bridge = json!({
        "displayName": "default",
        "webSocketAddress": relay.url(),
        "fingerprint": "2B280B23E1107BB62ABFC40DDCC8824814F80A72",
    });
    let bridges = site.folder().join("bridges.json");
    fs::write(&bridges, format!("{bridge}\n"))?;
    Ok(format!(
        "[broker]\nbridge_list_path = \"{}\"\nallowed_relay_pattern = \"127.0.0.1$\"\n",
        bridges.display()
    ))
}

/// Lets the client greet the bridge, and returns the number of bytes that arrived.
async fn greet_bridge(programs: &Programs<'_>, relay: &mut Relay) -> Result<usize> {
    let mut stun_server = programs.stun_server()?;
    listens(&mut stun_server, &stun_address()).await?;
    let mut proxy = programs.proxy(B.http())?;
    polls(&mut proxy, B.http()).await?;
    let mut client = programs.client(&["-url".to_owned(), format!("http://{}/", A.http())])?;
    let socks = socks_address(&mut client).await?;
    let mut socks = Socks5Stream::connect(socks.as_str(), "192.0.2.1:1").await?;
    socks.write_all(GREETING).await?;
    let stream = timeout(LONG_ENOUGH, relay.receive(GREETING))
        .await
        .context("the greeting does not arrive at the bridge")??;
    Ok(stream.len())
}
