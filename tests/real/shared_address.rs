//! Many of Debian's proxies share one public address, and each of them still gets clients.
//!
//! Twenty are in one network behind a router that masquerades, as in a university, and five
//! have an address of their own. They are of an age that ignores the told interval, and poll
//! every 5 s though they are told to return after an hour.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_socks::tcp::Socks5Stream;

use crate::network;
use crate::support::process::Process;
use crate::support::programs::{Programs, logs, stun_address};
use crate::support::ready::{listens, socks_address};
use crate::support::relay::Relay;
use crate::support::wait::LONG_ENOUGH;
use crate::support::{http, namespace, port, wait};

/// The number of proxies with an address of their own.
const OUTSIDE: usize = 5;
/// The number of proxies that share one.
const INSIDE: usize = 20;
/// The address of the broker, the relay and the clients.
const HERE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The number of clients at a time.
const AT_ONCE: usize = 6;
/// The told interval of proxies whose NAT is not known.
const AN_HOUR: (&str, &str) = ("SNOWFLAKE_BROKER_POLL_INTERVAL__STRICT", "1h");
/// The clients all come from one address, so nothing is learnt from them, and the limit of an
/// address does not grow.
const MATCHES: (&str, &str) = ("SNOWFLAKE_BROKER_SUPPLY__MATCHES_PER_MINUTE", "40");
/// Part of the log of a proxy of Debian's that has got a client.
const GOT_A_CLIENT: &str = "sdp offer successfully received";

#[tokio::test]
async fn twenty_proxies_behind_one_address_get_clients() {
    let name = "shared_address::twenty_proxies_behind_one_address_get_clients";
    let outcome = if namespace::entered() {
        serve_in_a_network().await
    } else {
        namespace::run_inside(name).await
    };
    if let Err(error) = outcome {
        panic!("{error:#}");
    }
}

async fn serve_in_a_network() -> Result<()> {
    network::make(OUTSIDE).await?;
    let scratch = tempfile::tempdir()?;
    let programs = Programs {
        scratch: scratch.path(),
    };
    match timeout(LONG_ENOUGH * 2, serve(&programs)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => bail!("{error:#}\n{}", logs(scratch.path())?),
        Err(_) => bail!("some get no client\n{}", logs(scratch.path())?),
    }
}

/// Brings clients until each proxy has had one.
async fn serve(programs: &Programs<'_>) -> Result<()> {
    let mut relay = Relay::listen_on(HERE).await?;
    let broker_address = SocketAddr::from((HERE, port::free()?));
    let mut stun_server = programs.stun_server()?;
    listens(&mut stun_server, &stun_address()).await?;
    let mut broker = programs.broker(broker_address, &relay, &[AN_HOUR, MATCHES])?;
    listens(&mut broker, &broker_address.to_string()).await?;
    let mut proxies = start_proxies(programs, broker_address, &relay)?;
    // They first ask a probe that does not exist here about their NAT.
    wait::until("most proxies poll", async || {
        let page = http::get(broker_address, "/debug").await?;
        Ok(page.contains("standalone proxies: 2").then_some(()))
    })
    .await?;
    for round in 0.. {
        greet(programs, round, broker_address, &mut relay).await?;
        if all_had_clients(&mut proxies)? {
            break;
        }
    }
    wait::until("the proxies ignore what they are told", async || {
        let page = http::get(broker_address, "/prometheus").await?;
        Ok((polls(&page) > 2 * (OUTSIDE + INSIDE) as u64).then_some(()))
    })
    .await
}

/// The number of all polls so far, by the broker's metrics.
fn polls(page: &str) -> u64 {
    let lines = page.lines();
    let counts = lines.filter(|line| line.starts_with("snowflake_rounded_proxy_poll_total{"));
    let counts = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    counts.sum()
}

fn start_proxies(
    programs: &Programs<'_>,
    broker: SocketAddr,
    relay: &Relay,
) -> Result<Vec<Process>> {
    let outside = (0..OUTSIDE).map(network::host);
    let inside = (0..INSIDE).map(|_| network::HOME.to_owned());
    let homes = outside.chain(inside).enumerate();
    let pattern = relay.pattern();
    let started = homes.map(|(number, home)| {
        programs.proxy_in(&home, &format!("proxy-{number}"), broker, &pattern)
    });
    started.collect()
}

/// Some clients greet the bridge, all at once.
async fn greet(
    programs: &Programs<'_>,
    round: usize,
    broker: SocketAddr,
    relay: &mut Relay,
) -> Result<()> {
    let mut clients = Vec::new();
    let mut greetings = Vec::new();
    for number in 0..AT_ONCE {
        let folder = programs.scratch.join(format!("client-{round}-{number}"));
        fs::create_dir(&folder)?;
        let client = Programs { scratch: &folder };
        let mut client = client.client(&["-url".to_owned(), format!("http://{broker}/")])?;
        let address = socks_address(&mut client).await?;
        let mut socks = Socks5Stream::connect(address.as_str(), "192.0.2.1:1").await?;
        let greeting = format!("greeting {round}-{number}.");
        socks.write_all(greeting.as_bytes()).await?;
        clients.push((client, socks));
        greetings.push(greeting);
    }
    timeout(LONG_ENOUGH, relay.receive_all(greetings))
        .await
        .context("a greeting does not arrive at the bridge")?
}

fn all_had_clients(proxies: &mut [Process]) -> Result<bool> {
    for proxy in proxies {
        if !proxy.log()?.contains(GOT_A_CLIENT) {
            return Ok(false);
        }
    }
    Ok(true)
}
