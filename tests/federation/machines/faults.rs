//! A cut link, a killed process, a slow link. The first broker has no proxies, both of
//! its peers have some, and the faults hit the peer with more of them.

use std::time::Duration;

use anyhow::{Result, ensure};
use snowflake_broker::broker::clock;
use tokio::time::sleep;

use crate::machines::brokers::{A, B, C, Site};
use crate::machines::inside;
use crate::machines::load::{Client, Load, Outcome};
use crate::machines::machine::Network;
use crate::machines::report::{back_in_use, check};
use crate::machines::slow_link::SlowLink;

/// The duration of a fault, longer than it takes to detect a dead link.
const FAULT: Duration = Duration::from_secs(12);
/// The time after which a broker knows that a link is dead, and earlier clients have
/// timed out.
const KNOWN: Duration = Duration::from_secs(6);

/// The duration of the load before a fault.
const STEADY: Duration = Duration::from_secs(3);

/// The port of a detour on which bytes for the second broker can be delayed.
const DETOUR_PORT: u16 = 7443;

/// Clients at all brokers, and proxies at both lenders, from which the first broker
/// borrows.
async fn load() -> Result<Load> {
    let mut load = Load::default();
    load.add_proxies(B, 36);
    load.add_proxies(C, 24);
    load.add_clients(A, Duration::from_millis(100));
    load.add_clients(B, Duration::from_millis(500));
    load.add_clients(C, Duration::from_millis(500));
    let start = clock::now();
    load.borrowed((A, B), start).await?;
    load.borrowed((A, C), start).await?;
    sleep(STEADY).await;
    Ok(load)
}

async fn until_an_offer_is_there(load: &Load) -> Result<()> {
    let is_there = |client: &Client| client.asks == A && client.is_with(B);
    load.until("an offer is at the lender", is_there).await
}

fn is_answered(client: &Client) -> bool {
    client.outcome() == Some(Outcome::Answered)
}

#[tokio::test]
async fn a_link_is_cut_during_an_offer() {
    inside("faults::a_link_is_cut_during_an_offer", cut_a_link).await;
}

async fn cut_a_link(site: &Site) -> Result<String> {
    let [_a, b, _c] = site.three_brokers().await?;
    let load = load().await?;
    until_an_offer_is_there(&load).await?;
    let cut = clock::now();
    b.machine.cut(Network::Back).await?;
    sleep(FAULT).await;
    b.machine.repair(Network::Back).await?;
    let repaired = clock::now();
    let back = load.borrowed((A, B), repaired).await? - repaired;
    sleep(KNOWN).await;
    let clients = load.end().await;

    // Matches within a broker continue, and so do those that do not cross the cut.
    let counts = check(&clients, |asks, at| asks == at || (asks != B && at != B))?;
    let known = clients
        .iter()
        .filter(|client| client.asks == A && client.came > cut + KNOWN && client.came < repaired);
    ensure!(known.clone().count() > 0, "nobody came");
    for client in known {
        ensure!(
            is_answered(client),
            "though the link was known to be dead: {client:?}"
        );
    }
    Ok(format!(
        "{counts}; {}",
        back_in_use("borrowed again", back)?
    ))
}

#[tokio::test]
async fn a_lender_is_killed_mid_match() {
    inside("faults::a_lender_is_killed_mid_match", kill_a_lender).await;
}

async fn kill_a_lender(site: &Site) -> Result<String> {
    let [_a, mut b, _c] = site.three_brokers().await?;
    let load = load().await?;
    until_an_offer_is_there(&load).await?;
    let killed = clock::now();
    b.kill().await?;
    sleep(FAULT).await;
    b.start().await?;
    let started = clock::now();
    let back = load.borrowed((A, B), started).await? - started;
    sleep(KNOWN).await;
    let clients = load.end().await;

    let counts = check(&clients, |asks, at| asks != B && at != B)?;
    let concerned = clients
        .iter()
        .filter(|client| client.asks == A && client.end.is_some_and(|(_, end)| end > killed));
    for client in concerned {
        ensure!(
            is_answered(client),
            "the other lender has proxies: {client:?}"
        );
    }
    Ok(format!(
        "{counts}; {}",
        back_in_use("borrowed again", back)?
    ))
}

#[tokio::test]
async fn a_link_takes_two_seconds() {
    let back = (Duration::ZERO, Duration::from_secs(2));
    inside("faults::a_link_takes_two_seconds", async |site| {
        slow_down(site, back).await
    })
    .await;
}

#[tokio::test]
async fn a_link_takes_two_seconds_each_way() {
    let both = (Duration::from_secs(2), Duration::from_secs(2));
    inside("faults::a_link_takes_two_seconds_each_way", async |site| {
        slow_down(site, both).await
    })
    .await;
}

async fn slow_down(site: &Site, (there, back): (Duration, Duration)) -> Result<String> {
    let detour = Network::Back.address_of_test(DETOUR_PORT);
    let link = SlowLink::open(detour, B.grpc()).await?;
    let (a, c) = ((A, A.grpc()), (C, C.grpc()));
    let _a = site.broker(A, &[(B, detour), c], "").await?;
    let _b = site.broker(B, &[a, c], "").await?;
    let _c = site.broker(C, &[a, (B, B.grpc())], "").await?;
    let load = load().await?;
    until_an_offer_is_there(&load).await?;
    link.delay(there, back);
    sleep(FAULT).await;
    link.delay(Duration::ZERO, Duration::ZERO);
    let repaired = clock::now();
    let back = load.borrowed((A, B), repaired).await? - repaired;
    sleep(KNOWN).await;
    let clients = load.end().await;

    let counts = check(&clients, |asks, at| (asks, at) != (A, B))?;
    Ok(format!(
        "{counts}; {}",
        back_in_use("borrowed again", back)?
    ))
}
