//! Debian's client and proxy in a private pool, which they reach by its URL alone.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_socks::tcp::Socks5Stream;

use crate::interop::GREETING;
use crate::support::programs::{Programs, logs, stun_address};
use crate::support::ready::{listens, polls, socks_address};
use crate::support::relay::Relay;
use crate::support::wait::LONG_ENOUGH;
use crate::support::{namespace, port, wait};

const TOKEN: &str = "0123456789abcdefg";

#[tokio::test]
async fn debian_client_gets_the_proxy_of_its_pool() {
    let outcome = if namespace::entered() {
        be_served().await
    } else {
        let name = "interop::private_pool::debian_client_gets_the_proxy_of_its_pool";
        namespace::run_inside(name).await
    };
    if let Err(error) = outcome {
        panic!("{error:#}");
    }
}

async fn be_served() -> Result<()> {
    namespace::connect().await?;
    let scratch = tempfile::tempdir()?;
    let programs = Programs {
        scratch: scratch.path(),
    };
    match serve(&programs).await {
        Ok(()) => Ok(()),
        Err(error) => bail!("{error:#}\n{}", logs(scratch.path())?),
    }
}

async fn serve(programs: &Programs<'_>) -> Result<()> {
    let mut relay = Relay::listen().await?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()?));
    let mut stun_server = programs.stun_server()?;
    listens(&mut stun_server, &stun_address()).await?;
    let token = programs.scratch.join("token");
    fs::write(&token, TOKEN)?;
    let config = programs.scratch.join("config.toml");
    let pool = format!(
        "[[pools]]\nname = \"family\"\ntoken_file = \"{}\"\n",
        token.display()
    );
    fs::write(&config, pool)?;
    let mut broker = programs.configured_broker(address, &relay, &config)?;
    listens(&mut broker, &address.to_string()).await?;

    // One of everybody's is there, too, and one whose URL lacks its slash.
    let mut public = programs.proxy(address)?;
    polls(&mut public, address).await?;
    let _lost = programs.proxy_at("lost", &format!("http://{address}/p/{TOKEN}"))?;
    wait::until("the broker to tell of it", async || {
        let told = "its broker URL must end with a slash";
        Ok(broker.log()?.contains(told).then_some(()))
    })
    .await?;
    let url = format!("http://{address}/p/{TOKEN}/");
    let mut proxy = programs.proxy_at("private", &url)?;
    let mut client = programs.client(&["-url".to_owned(), url])?;
    let socks_address = socks_address(&mut client).await?;
    let mut socks = Socks5Stream::connect(socks_address.as_str(), "192.0.2.1:1").await?;
    socks.write_all(GREETING).await?;
    let greeted = timeout(LONG_ENOUGH, relay.receive(GREETING)).await;
    greeted.context("the greeting does not arrive at the bridge")??;
    let offered = "sdp offer successfully received";
    ensure!(
        proxy.log()?.contains(offered),
        "another proxy had the offer"
    );
    ensure!(
        !public.log()?.contains(offered),
        "the public's proxy had it"
    );
    ensure!(!broker.log()?.contains(TOKEN), "the token is in the log");
    Ok(())
}
