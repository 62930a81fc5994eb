//! A country of clients, and the firewall at its border, which drops the DTLS hello of pion.

use anyhow::{Context as _, Result};

use crate::network;
use crate::support::namespace::ip;

/// The country's network, of which all packets cross the border.
const NETWORK: &str = "10.97.0.0/24";
/// The network's first and last address, as the broker's country database has them.
pub(super) const RANGE: &str = "174129152,174129407";
/// The namespace of the router between the country and the public network.
const BORDER: &str = "border";
const ADDRESS: &str = "10.99.0.4";

/// A `ClientHello` over UDP: a DTLS record of the type handshake (22) with a message of the
/// type `ClientHello` (1), 8 and 21 bytes after the beginning of the UDP header.
const HELLO: &str = "meta l4proto udp @th,64,8 22 @th,168,8 1";
/// The cipher suites of pion's DTLS 2 with their length, by which censors know it: no browser
/// offers these six in this order. They are 69 bytes after the beginning of the UDP header, as
/// the session ID and the cookie before them are empty in the first hello.
const PION: &str = "@th,552,112 0x000cc02bc02fc00ac014c02cc030";

/// The hellos that have come to the border.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hellos {
    /// Pion's, all of them dropped.
    pub(super) dropped: usize,
    /// All others.
    pub(super) passed: usize,
}

/// The namespace of a client in the country.
pub(super) fn home(number: usize) -> String {
    format!("censored-{number}")
}

/// Adds the country to a network that has these hosts.
pub(super) async fn add_country(hosts: usize, clients: usize) -> Result<()> {
    network::add_host(BORDER, ADDRESS).await?;
    network::forward(BORDER).await?;
    ip(&format!("-n {BORDER} link add inland type bridge")).await?;
    ip(&format!("-n {BORDER} address add 10.97.0.1/24 dev inland")).await?;
    ip(&format!("-n {BORDER} link set inland up")).await?;
    for number in 0..clients {
        add_client(number).await?;
    }
    ip(&format!("route add {NETWORK} via {ADDRESS}")).await?;
    for host in (0..hosts).map(network::host) {
        ip(&format!("-n {host} route add {NETWORK} via {ADDRESS}")).await?;
    }
    block().await
}

async fn add_client(number: usize) -> Result<()> {
    let home = home(number);
    network::add_namespace(&home).await?;
    ip(&format!(
        "-n {BORDER} link add {home} type veth peer name lan netns {home}"
    ))
    .await?;
    ip(&format!("-n {BORDER} link set {home} master inland up")).await?;
    let address = format!("10.97.0.{}", 10 + number);
    ip(&format!("-n {home} address add {address}/24 dev lan")).await?;
    ip(&format!("-n {home} link set lan up")).await?;
    ip(&format!("-n {home} route add default via 10.97.0.1")).await
}

async fn block() -> Result<()> {
    let rules = format!(
        "add table ip censor; \
         add counter ip censor dropped; \
         add counter ip censor passed; \
         add chain ip censor forward {{ type filter hook forward priority 0; }}; \
         add rule ip censor forward {HELLO} {PION} counter name dropped drop; \
         add rule ip censor forward {HELLO} counter name passed"
    );
    network::firewall(BORDER, &rules).await
}

/// The counts of the firewall so far.
pub(super) async fn hellos() -> Result<Hellos> {
    let mut nft = network::nft(BORDER)?;
    let output = nft.args(["list", "table", "ip", "censor"]).output().await?;
    let table = String::from_utf8(output.stdout)?;
    Ok(Hellos {
        dropped: packets(&table, "dropped")?,
        passed: packets(&table, "passed")?,
    })
}

/// The packets of a counter in nft's output.
fn packets(table: &str, counter: &str) -> Result<usize> {
    let (_, rest) = table
        .split_once(&format!("counter {counter} {{"))
        .with_context(|| format!("no counter {counter} in {table}"))?;
    let mut words = rest
        .split_whitespace()
        .skip_while(|word| *word != "packets");
    let number = words.nth(1).context("no number of packets")?;
    Ok(number.parse()?)
}
