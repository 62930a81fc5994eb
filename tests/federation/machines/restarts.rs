//! All three brokers are restarted in turn, under load, as in an update.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use snowflake_broker::broker::clock;
use tokio::time::sleep;

use crate::machines::brokers::{A, B, C, Site};
use crate::machines::inside;
use crate::machines::load::Load;
use crate::machines::report::{back_in_use, check};

#[tokio::test]
async fn all_three_restart_in_turn() {
    inside("restarts::all_three_restart_in_turn", restart_all).await;
}

async fn restart_all(site: &Site) -> Result<String> {
    let mut brokers = site.three_brokers().await?;
    let mut load = Load::default();
    // The first broker has too few proxies for its clients, and the others have some to
    // spare.
    for (name, proxies) in [(A, 2), (B, 12), (C, 12)] {
        load.add_proxies(name, proxies);
        load.add_clients(name, Duration::from_millis(150));
    }
    load.borrowed((A, B), clock::now()).await?;
    let mut report = String::new();
    for broker in &mut brokers {
        broker.stop().await?;
        broker.start().await?;
        let started = clock::now();
        let name = broker.name;
        let (what, back) = if name == A {
            let back = load.borrowed((A, B), started).await?;
            ("a borrows again", back)
        } else {
            (
                "its proxies are lent again",
                load.borrowed((A, name), started).await?,
            )
        };
        let back = back_in_use(what, back - started)?;
        write!(report, "{}: {back}; ", name.name)?;
        sleep(Duration::from_secs(3)).await;
    }
    let clients = load.end().await;
    let counts = check(&clients, |_, _| true)?;
    Ok(format!("{report}{counts}"))
}
