//! Attackers vote down proxies that work: they take matches, never connect, and come back as
//! a client does whose match failed. Debian's proxies and clients go on.
//!
//! Three proxies have their UDP dropped and twelve work. A proxy of Debian's polls no more while
//! it waits 20 s for a client that does not connect, so these are as many attackers as leave
//! others a proxy.

mod attacker;
mod town;

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use tokio::time::{sleep, timeout};

use crate::network;
use crate::support::namespace;
use crate::support::programs::{Programs, logs};
use crate::support::wait::LONG_ENOUGH;

use attacker::Attack;
use town::{CUT_OFF, Town};

/// The time after which it is known of most proxies whether they work.
const UNTIL_KNOWN: Duration = Duration::from_secs(130);
/// The time in which clients are counted without an attack, and with each.
const COUNTED: Duration = Duration::from_secs(36);

#[tokio::test]
async fn good_proxies_keep_their_clients_under_attack_by_votes() {
    let name = "votes::good_proxies_keep_their_clients_under_attack_by_votes";
    let outcome = async {
        if namespace::entered() {
            return vote_in_a_network().await;
        }
        let report = namespace::run_inside_for(name, LONG_ENOUGH * 3).await?;
        println!("{report}");
        Ok(())
    };
    if let Err(error) = outcome.await {
        panic!("{error:#}");
    }
}

async fn vote_in_a_network() -> Result<()> {
    network::make(town::HOSTS).await?;
    let scratch = tempfile::tempdir()?;
    let programs = Programs {
        scratch: scratch.path(),
    };
    match timeout(LONG_ENOUGH * 11 / 4, vote(&programs)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => bail!("{error:#}\n{}", logs(scratch.path())?),
        Err(_) => bail!("it takes too long\n{}", logs(scratch.path())?),
    }
}

#[expect(clippy::print_stdout, reason = "the figures are of interest")]
async fn vote(programs: &Programs<'_>) -> Result<()> {
    let mut town = Town::found(programs).await?;
    sleep(UNTIL_KNOWN).await;
    let one = Attack {
        addresses: 20..21,
        at_once: 1,
        invents_bridges: false,
    };
    let inventive = Attack {
        addresses: 30..31,
        at_once: 3,
        invents_bridges: true,
    };
    let several = Attack {
        addresses: 40..44,
        ..one.clone()
    };
    let attacks = [None, Some(one), Some(inventive), Some(several)];
    let names = [
        "no attack",
        "one address",
        "invented offers",
        "four addresses",
    ];
    let mut phases = Vec::new();
    for (attack, name) in attacks.into_iter().zip(names) {
        let figures = town.during(COUNTED, attack).await?;
        println!("{name}: {} lost, {figures:?}", figures.lost());
        phases.push((name, figures));
    }
    town.end().await?;
    let (_, before) = &phases[0];
    for (name, figures) in &phases {
        let bad = figures.bad_max;
        ensure!(
            bad <= CUT_OFF,
            "{name}: {bad} bad polls, and {CUT_OFF} proxies are"
        );
        ensure!(
            3 * figures.served >= before.served,
            "{name}: few were served"
        );
        ensure!(
            figures.lost() <= figures.served / 2,
            "{name}: many matches came to nothing"
        );
    }
    Ok(())
}
