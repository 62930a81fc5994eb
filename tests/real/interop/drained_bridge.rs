//! Debian's client and proxy while their bridge drains, and after it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_socks::tcp::Socks5Stream;

use crate::interop::GREETING;
use crate::support::programs::{Programs, logs, stun_address};
use crate::support::ready::{listens, polls, socks_address};
use crate::support::relay::Relay;
use crate::support::wait::LONG_ENOUGH;
use crate::support::{namespace, port, wait};

/// The proxy's log when it has been handed a client.
const OFFERED: &str = "sdp offer successfully received";

#[tokio::test]
async fn debian_client_is_served_once_its_bridge_is_up_again() {
    let outcome = if namespace::entered() {
        be_refused_and_served().await
    } else {
        let name = "interop::drained_bridge::debian_client_is_served_once_its_bridge_is_up_again";
        namespace::run_inside(name).await
    };
    if let Err(error) = outcome {
        panic!("{error:#}");
    }
}

async fn be_refused_and_served() -> Result<()> {
    namespace::connect().await?;
    let scratch = tempfile::tempdir()?;
    let programs = Programs {
        scratch: scratch.path(),
    };
    match refuse_and_serve(&programs).await {
        Ok(()) => Ok(()),
        Err(error) => bail!("{error:#}\n{}", logs(scratch.path())?),
    }
}

async fn refuse_and_serve(programs: &Programs<'_>) -> Result<()> {
    let mut relay = Relay::listen().await?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()?));
    let mut stun_server = programs.stun_server()?;
    listens(&mut stun_server, &stun_address()).await?;
    let mut broker = programs.broker(address, &relay, &[])?;
    listens(&mut broker, &address.to_string()).await?;
    // Nobody listens at the other address, which drains all the time.
    let list = async |state: &str| {
        let line = |url: &str, state: &str| {
            let fingerprint = "2B280B23E1107BB62ABFC40DDCC8824814F80A72";
            json!({"webSocketAddress": url, "fingerprint": fingerprint, "state": state})
        };
        let lines = format!(
            "{}\n{}\n",
            line("ws://127.0.0.1:9/", "drain"),
            line(&relay.url(), state)
        );
        fs::write(programs.scratch.join("bridges.json"), lines)
    };
    let reloaded = "changes=\"the file of broker.bridge_list_path\"";
    list("drain").await?;
    broker.signal(Signal::HUP)?;
    wait::until("the broker to reload", async || {
        Ok(broker.log()?.contains(reloaded).then_some(()))
    })
    .await?;

    let mut proxy = programs.proxy(address)?;
    polls(&mut proxy, address).await?;
    let mut client = programs.client(&["-url".to_owned(), format!("http://{address}/")])?;
    let socks_address = socks_address(&mut client).await?;
    let mut socks = Socks5Stream::connect(socks_address.as_str(), "192.0.2.1:1").await?;
    socks.write_all(GREETING).await?;
    wait::until("the client to hear so", async || {
        let text = "bridge with requested fingerprint takes no new clients";
        Ok(client.log()?.contains(text).then_some(()))
    })
    .await?;
    ensure!(!proxy.log()?.contains(OFFERED), "a proxy was spent on it");

    list("up").await?;
    broker.signal(Signal::HUP)?;
    let greeted = timeout(LONG_ENOUGH, relay.receive(GREETING)).await;
    greeted.context("the greeting does not arrive at the bridge")??;
    let offers = proxy.log()?.matches(OFFERED).count();
    ensure!(offers > 0, "the proxy's log has changed");
    Ok(())
}
