//! The broker learns from Debian's clients which of Debian's proxies work, and serves those.
//!
//! Three proxies answer and have their UDP dropped, so that they never connect; the answers
//! of three get lost; three work. All are seen by the broker from addresses of their own, and
//! so is each client.

mod lossy;
mod visitors;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use crate::network;
use crate::support::process::Process;
use crate::support::programs::{Programs, logs, stun_address};
use crate::support::ready::listens;
use crate::support::relay::Relay;
use crate::support::wait::LONG_ENOUGH;
use crate::support::{http, namespace, port, wait};

use visitors::Visitors;

/// The number of proxies of each kind.
const OF_EACH: usize = 3;
/// The address of the broker and the relay.
const HERE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The time in which the broker may not learn from outcomes.
const BEFORE: Duration = Duration::from_mins(1);
/// The time after which it is known of most proxies whether they work.
const UNTIL_KNOWN: Duration = Duration::from_secs(125);
/// The time in which the broker serves those first.
const AFTER: Duration = Duration::from_mins(1);
/// Part of the log of a proxy of Debian's that has got a client.
const GOT_A_CLIENT: &str = "sdp offer successfully received";

/// The proxies, by kind.
struct Proxies {
    cut_off: Vec<Process>,
    mute: Vec<Process>,
    good: Vec<Process>,
}

#[tokio::test]
async fn proxies_that_work_are_found() {
    let name = "outcomes::proxies_that_work_are_found";
    let outcome = if namespace::entered() {
        learn_in_a_network().await
    } else {
        namespace::run_inside(name).await
    };
    if let Err(error) = outcome {
        panic!("{error:#}");
    }
}

async fn learn_in_a_network() -> Result<()> {
    network::make(3 * OF_EACH).await?;
    let scratch = tempfile::tempdir()?;
    let programs = Programs {
        scratch: scratch.path(),
    };
    match timeout(LONG_ENOUGH * 5 / 2, learn(&programs)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => bail!("{error:#}\n{}", logs(scratch.path())?),
        Err(_) => bail!("it takes too long\n{}", logs(scratch.path())?),
    }
}

#[expect(clippy::print_stdout, reason = "the figures are of interest")]
async fn learn(programs: &Programs<'_>) -> Result<()> {
    let relay = Relay::listen_on(HERE).await?;
    let broker_port = port::free()?;
    let address = SocketAddr::from((HERE, broker_port));
    let config = programs.scratch.join("config.toml");
    fs::write(&config, learns(false))?;
    let mut stun_server = programs.stun_server()?;
    listens(&mut stun_server, &stun_address()).await?;
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, broker_port));
    let mut broker = programs.configured_broker(everywhere, &relay, &config)?;
    listens(&mut broker, &address.to_string()).await?;
    let mut proxies = start_proxies(programs, broker_port, &relay).await?;
    wait::until("all proxies poll", async || {
        let page = http::get(address, "/debug").await?;
        Ok(page.contains("standalone proxies: 9").then_some(()))
    })
    .await?;

    let visitors = Visitors::start(programs, relay, broker_port);
    let before = proxies.during(&visitors, BEFORE).await?;
    fs::write(&config, learns(true))?;
    broker.signal(Signal::HUP)?;
    proxies.during(&visitors, UNTIL_KNOWN).await?;
    ensure!(broker.log()?.contains("configuration reloaded"));
    let after = proxies.during(&visitors, AFTER).await?;
    visitors.end().await?;

    println!(
        "before: {before:?}\nafter: {after:?}\n{}",
        outcomes().await?
    );
    ensure!(before.wasted() > 0.5, "it does no harm: {before:?}");
    ensure!(
        4.0 * after.wasted() < before.wasted(),
        "{before:?}, then {after:?}"
    );
    for good in &mut proxies.good {
        ensure!(matches(good)? > 0, "a proxy that works gets no client");
    }
    Ok(())
}

/// The outcomes that the broker has counted, and what it refused.
async fn outcomes() -> Result<String> {
    let page = http::get((Ipv4Addr::LOCALHOST, 9580).into(), "/prometheus").await?;
    let families = [
        "snowflake_broker_match_outcomes_total",
        "snowflake_broker_refusals_total",
    ];
    let is_of = |line: &str| families.iter().any(|family| line.starts_with(family));
    let lines = page
        .lines()
        .filter(|line| is_of(line) && !line.ends_with(" 0"));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// A configuration in which outcomes decide or not.
fn learns(learn: bool) -> String {
    format!("[outcomes]\nlearn = {learn}\n")
}

async fn start_proxies(programs: &Programs<'_>, port: u16, relay: &Relay) -> Result<Proxies> {
    let broker = SocketAddr::from((HERE, port));
    let start = |number: usize, broker| {
        let name = format!("proxy-{number}");
        programs.proxy_in(&network::host(number), &name, broker, &relay.pattern())
    };
    let mut proxies = Proxies {
        cut_off: Vec::new(),
        mute: Vec::new(),
        good: Vec::new(),
    };
    for number in 0..OF_EACH {
        network::cut_off(&network::host(number)).await?;
        proxies.cut_off.push(start(number, broker)?);
    }
    for number in OF_EACH..2 * OF_EACH {
        let address = here(30 + u8::try_from(number)?);
        network::add_address(address).await?;
        let lossy = lossy::start(HERE, address, broker).await?;
        proxies.mute.push(start(number, lossy)?);
    }
    for number in 2 * OF_EACH..3 * OF_EACH {
        proxies.good.push(start(number, broker)?);
    }
    Ok(proxies)
}

fn here(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 0, number)
}

impl Proxies {
    /// The matches in the time that begins now.
    async fn during(&mut self, visitors: &Visitors, time: Duration) -> Result<Matches> {
        let [bad, served] = [self.bad_matches()?, visitors.served()];
        sleep(time).await;
        Ok(Matches {
            bad: self.bad_matches()? - bad,
            served: visitors.served() - served,
        })
    }

    /// The number of matches with proxies that do not work.
    fn bad_matches(&mut self) -> Result<usize> {
        let bad = self.cut_off.iter_mut().chain(&mut self.mute);
        bad.map(matches).sum()
    }
}

/// The matches with proxies that do not work, and the clients that reached the bridge.
#[derive(Debug)]
struct Matches {
    bad: usize,
    served: usize,
}

impl Matches {
    /// Matches with proxies that do not work, for each client that reached the bridge.
    #[expect(clippy::cast_precision_loss, reason = "there are few")]
    fn wasted(&self) -> f64 {
        self.bad as f64 / self.served.max(1) as f64
    }
}

/// The number of clients that a proxy was handed.
fn matches(proxy: &mut Process) -> Result<usize> {
    Ok(proxy.log()?.matches(GOT_A_CLIENT).count())
}
