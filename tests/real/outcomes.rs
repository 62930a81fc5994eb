//! The broker learns from Debian's clients which of Debian's proxies work, and serves those.
//!
//! Three proxies answer and have their UDP dropped, so that they never connect; the answers
//! of three get lost; three work. All are seen by the broker from addresses of their own, and
//! so is each client.

mod lossy;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tokio::time::{sleep, timeout};

use crate::network;
use crate::support::process::Process;
use crate::support::programs::{Programs, logs};
use crate::support::relay::Relay;
use crate::support::wait::LONG_ENOUGH;
use crate::support::{http, namespace};
use crate::visitors::Visitors;
use crate::volunteers::{HERE, Site, matches};

/// The number of proxies of each kind.
const OF_EACH: usize = 3;
/// The time in which the broker may not learn from outcomes.
const BEFORE: Duration = Duration::from_mins(1);
/// The time after which it is known of most proxies whether they work.
const UNTIL_KNOWN: Duration = Duration::from_secs(125);
/// The time in which the broker serves those first.
const AFTER: Duration = Duration::from_mins(1);

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
    let mut site = Site::start(programs, &relay, &learns(false)).await?;
    let mut proxies = start_proxies(programs, &site, &relay).await?;
    site.all_poll(3 * OF_EACH).await?;

    let visitors = Visitors::start(programs, relay, site.address.port());
    let before = proxies.during(&visitors, BEFORE).await?;
    site.reconfigure(&learns(true))?;
    proxies.during(&visitors, UNTIL_KNOWN).await?;
    ensure!(site.broker.log()?.contains("configuration reloaded"));
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

async fn start_proxies(programs: &Programs<'_>, site: &Site, relay: &Relay) -> Result<Proxies> {
    for number in 0..OF_EACH {
        network::cut_off(&network::host(number)).await?;
    }
    let mut mute = Vec::new();
    for number in OF_EACH..2 * OF_EACH {
        let address = here(30 + u8::try_from(number)?);
        network::add_address(address).await?;
        let lossy = lossy::start(HERE, address, site.address).await?;
        let (host, name) = (network::host(number), format!("proxy-{number}"));
        mute.push(programs.proxy_in(&host, &name, lossy, &relay.pattern())?);
    }
    Ok(Proxies {
        cut_off: site.proxies(programs, relay, 0..OF_EACH)?,
        mute,
        good: site.proxies(programs, relay, 2 * OF_EACH..3 * OF_EACH)?,
    })
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
