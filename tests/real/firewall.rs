//! The rule against a block, of `docs/policy.md`, behind a firewall that blocks the same.
//!
//! Clients of Debian's are in a country whose firewall drops the first DTLS message of
//! Debian's proxies. Many of these poll, and one proxy whose message passes. With the rule
//! clients get that one at once, and without it they try one after the other.

mod border;
mod censored;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, fs};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::greetings::Greetings;
use crate::network;
use crate::pages::markdown::Page;
use crate::support::namespace::inside;
use crate::support::process::Process;
use crate::support::programs::{Programs, logs, stun_address, stun_url};
use crate::support::ready::listens;
use crate::support::relay::Relay;
use crate::support::wait::LONG_ENOUGH;
use crate::support::{http, namespace, port, unpacked, wait};

use border::Hellos;
use censored::{Censored, Journey};

/// The number of Debian's proxies.
const BLOCKED: usize = 10;
const CLIENTS: usize = 6;
/// The time that clients have to reach the bridge.
const WINDOW: Duration = Duration::from_mins(1);
/// The address of the broker and the relay.
const HERE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The broker's metrics.
const OPERATOR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9580);
/// The only proxy that passes is all that the rule favors.
const RESERVE: &str = "[policy]\nreserve = 1\n";
const WEB_EXTENSION: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/real/firewall/web_extension.js"
);

#[tokio::test]
async fn clients_behind_a_firewall_get_proxies_that_pass() {
    let name = "firewall::clients_behind_a_firewall_get_proxies_that_pass";
    let outcome = if namespace::entered() {
        serve_a_country().await
    } else {
        namespace::run_inside(name).await
    };
    if let Err(error) = outcome {
        panic!("{error:#}");
    }
}

async fn serve_a_country() -> Result<()> {
    network::make(BLOCKED + 1).await?;
    border::add_country(BLOCKED + 1, CLIENTS).await?;
    let scratch = tempfile::tempdir()?;
    let programs = Programs {
        scratch: scratch.path(),
    };
    match timeout(LONG_ENOUGH * 5 / 2, compare(&programs)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => bail!("{error:#}\n{}", logs(scratch.path())?),
        Err(_) => bail!("it takes too long\n{}", logs(scratch.path())?),
    }
}

#[expect(clippy::print_stdout, reason = "the figures are of interest")]
async fn compare(programs: &Programs<'_>) -> Result<()> {
    let mut stun_server = programs.stun_server()?;
    listens(&mut stun_server, &stun_address()).await?;
    let address = SocketAddr::from((HERE, port::free()?));
    let _proxies = start_proxies(programs, address)?;
    let rule = format!("{RESERVE}{}", rule_of_the_page()?);

    let with = phase(programs, address, "with", false, &rule).await?;
    println!("with the rule: {with}");
    let both = phase(programs, address, "both", true, &rule).await?;
    println!("with the rule and learning: {both}");
    let without = phase(programs, address, "without", false, "").await?;
    println!("without: {without}");

    for ruled in [&with, &both] {
        ensure!(ruled.are_served_within(2), "not all are served: {ruled}");
        ensure!(
            ruled.hellos.passed >= CLIENTS,
            "the firewall saw no hellos: {ruled}"
        );
    }
    ensure!(
        without.tries() > with.tries().max(both.tries()) + CLIENTS / 2,
        "the rule is of no use: {without}\n{with}\n{both}"
    );
    ensure!(without.hellos.dropped > 0, "nothing is blocked: {without}");
    Ok(())
}

/// The rule as operators find it in the documentation.
fn rule_of_the_page() -> Result<String> {
    let page = Page::read("docs/policy.md");
    let mut blocks = page.blocks();
    let block = blocks.find(|block| block.content.contains("\"russia-old-go\""));
    Ok(block
        .context("docs/policy.md has no such rule")?
        .content
        .clone())
}

/// Clients' ways to the bridge through one broker, and what the firewall saw of them.
struct Phase {
    /// The broker's counts of matches in which a rule had a part.
    policy: Vec<String>,
    journeys: Vec<Journey>,
    hellos: Hellos,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for journey in &self.journeys {
            write!(f, "{journey}; ")?;
        }
        write!(f, "{:?} {:?}", self.hellos, self.policy)
    }
}

impl Phase {
    fn tries(&self) -> usize {
        self.journeys.iter().map(|journey| journey.tries).sum()
    }

    fn are_served_within(&self, tries: usize) -> bool {
        let mut journeys = self.journeys.iter();
        journeys.all(|journey| journey.time.is_some() && journey.tries <= tries)
    }
}

/// A fresh broker with a policy, and clients that come to it one soon after the other.
async fn phase(
    programs: &Programs<'_>,
    address: SocketAddr,
    name: &str,
    learn: bool,
    policy: &str,
) -> Result<Phase> {
    let folder = programs.scratch.join(name);
    fs::create_dir(&folder)?;
    let programs = Programs { scratch: &folder };
    let relay = Relay::listen_on(HERE).await?;
    let config = configuration(&programs, learn, policy)?;
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    let mut broker = programs.configured_broker(everywhere, &relay, &config)?;
    listens(&mut broker, &address.to_string()).await?;
    is_ready(address).await?;

    let before = border::hellos().await?;
    let greetings = Greetings::listen(relay);
    let journeys = visit(&programs, address, &greetings).await?;
    let after = border::hellos().await?;
    let policy = policy_matches().await?;
    drop(broker);
    has_ended(address).await?;
    Ok(Phase {
        policy,
        journeys,
        hellos: Hellos {
            dropped: after.dropped - before.dropped,
            passed: after.passed - before.passed,
        },
    })
}

/// Each client comes when the one before it has had its first response.
async fn visit(
    programs: &Programs<'_>,
    broker: SocketAddr,
    greetings: &Greetings,
) -> Result<Vec<Journey>> {
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        clients.push(Censored::start(programs, number, broker).await?);
    }
    let all_arrive = wait::until("all greetings", async || {
        let mut waiting = clients.iter();
        let all = waiting.all(|client| client.has_arrived(greetings));
        Ok(all.then_some(()))
    });
    // Not all do where the rule is missing.
    if let Ok(arrived) = timeout(WINDOW, all_arrive).await {
        arrived?;
    }
    let journeys = clients.iter_mut();
    journeys.map(|client| client.journey(greetings)).collect()
}

/// A broker's configuration, for which the clients' network is in Russia.
fn configuration(programs: &Programs<'_>, learn: bool, policy: &str) -> Result<PathBuf> {
    let [ipv4, ipv6, config] =
        ["geoip", "geoip6", "config.toml"].map(|name| programs.scratch.join(name));
    fs::write(&ipv4, format!("{},RU\n", border::RANGE))?;
    fs::write(&ipv6, "2001:db8::,2001:db8::ffff,RU\n")?;
    let [ipv4, ipv6] = [&ipv4, &ipv6].map(|path| path.display());
    let geoip = format!("[geoip]\ngeoipdb = \"{ipv4}\"\ngeoip6db = \"{ipv6}\"\n");
    let outcomes = format!("[outcomes]\nlearn = {learn}\n");
    fs::write(&config, format!("{geoip}{outcomes}{policy}"))?;
    Ok(config)
}

/// Debian's proxies, and at last the one that passes.
fn start_proxies(programs: &Programs<'_>, broker: SocketAddr) -> Result<Vec<Process>> {
    let pattern = format!("{HERE}$");
    let blocked = (0..BLOCKED).map(|number| {
        let name = format!("proxy-{number}");
        programs.proxy_in(&network::host(number), &name, broker, &pattern)
    });
    let passing = std::iter::once_with(|| {
        let mut node = inside(&network::host(BLOCKED));
        node.args(["node", WEB_EXTENSION])
            .arg(format!("http://{broker}/"))
            .args([stun_url(), pattern.clone()])
            .arg(unpacked::file("node/node_modules"));
        programs.start("web-extension", &mut node)
    });
    blocked.chain(passing).collect()
}

/// Waits until the broker knows the countries, and all proxies poll.
async fn is_ready(broker: SocketAddr) -> Result<()> {
    wait::until("the broker knows the countries", async || {
        let page = http::get(OPERATOR, "/prometheus").await?;
        let known = page.contains("snowflake_broker_country_databases 2");
        Ok(known.then_some(()))
    })
    .await?;
    let blocked = format!("standalone proxies: {BLOCKED}\n");
    wait::until("all proxies poll", async || {
        let page = http::get(broker, "/debug").await?;
        let all = page.contains(&blocked) && page.contains("webext proxies: 1");
        Ok(all.then_some(()))
    })
    .await
}

/// Waits until the address is free for the next broker.
async fn has_ended(broker: SocketAddr) -> Result<()> {
    wait::until("the broker ends", async || {
        Ok(TcpStream::connect(broker).await.err())
    })
    .await?;
    Ok(())
}

/// The broker's counts of matches in which a rule had a part.
async fn policy_matches() -> Result<Vec<String>> {
    let page = http::get(OPERATOR, "/prometheus").await?;
    let family = "snowflake_broker_policy_matches_total";
    let lines = page.lines().filter_map(|line| line.strip_prefix(family));
    Ok(lines.map(str::to_owned).collect())
}
