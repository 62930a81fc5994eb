//! Debian's proxies, which ask a probe server for their NAT type, and are what they are
//! behind NATs of nftables; and the client for whom that makes a difference.
//!
//! The address of the probe server is fixed in the proxy, so in this network that name is
//! our broker's. The same with another version of the proxy:
//!
//! ```sh
//! SNOWFLAKE_PROXY=/path/to/proxy cargo test --all-features --test real -- nat_probe::
//! ```

mod site;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::future::try_join_all;
use tokio::time::timeout;

use crate::support::programs::logs;
use crate::support::relay::Relay;
use crate::support::wait::LONG_ENOUGH;
use crate::support::{namespace, wait};

use site::{Access, GREETING, Probing, RELAY, Site};

#[tokio::test]
async fn proxies_learn_their_nat_type() {
    in_a_network("proxies_learn_their_nat_type", async |site| {
        let relay = Relay::listen_on(RELAY).await?;
        let mut broker = site.broker(&relay, Probing::TwoAddresses).await?;
        let kinds = [
            (Access::Direct, "unrestricted"),
            (Access::FullCone, "unrestricted"),
            (Access::Masquerade, "restricted"),
            (Access::RandomPorts, "restricted"),
            (Access::NoUdp, "restricted"),
        ];
        let started = kinds.map(|(access, _)| site.proxy(access, &relay));
        for ((access, expected), proxy) in kinds.into_iter().zip(started) {
            let mut proxy = proxy?;
            let told = format!("NAT Type measurement: unknown -> {expected}");
            wait::until(&format!("the proxy with {access:?} says {expected}"), async || {
                broker.log()?;
                let log = proxy.log()?;
                ensure!(
                    log.contains(&told) || !log.contains("NAT Type measurement"),
                    "{access:?} is taken for another: {log}"
                );
                Ok(log.contains(&told).then_some(()))
            })
            .await?;
        }
        let page = site.metrics().await?;
        for (outcome, count) in [("connected", 2), ("not_connected", 3), ("bad_request", 0)] {
            let series = format!(
                "snowflake_broker_nat_probes_total{{mode=\"strict\",outcome=\"{outcome}\"}} {count}\n"
            );
            ensure!(page.contains(&series), "no {series}{page}");
        }
        Ok(())
    })
    .await;
}

/// The newest proxies are `open` if the first channel opens, else `moderate` if the second
/// does, else `strict`.
#[tokio::test]
async fn proxies_that_ask_twice_learn_more() {
    in_a_network("proxies_that_ask_twice_learn_more", async |site| {
        let relay = Relay::listen_on(RELAY).await?;
        let _broker = site.broker(&relay, Probing::TwoAddresses).await?;
        let kinds = [
            (Access::Direct, [true, true]),
            (Access::FullCone, [true, true]),
            (Access::Masquerade, [false, true]),
            (Access::RandomPorts, [false, false]),
            (Access::NoUdp, [false, false]),
        ];
        let answers = kinds.map(|(access, expected)| async move {
            let strict = site.opens(access, "strict").await?;
            let moderate = site.opens(access, "moderate").await?;
            ensure!(
                [strict, moderate] == expected,
                "{access:?}: {strict} {moderate}"
            );
            Ok(())
        });
        try_join_all(answers).await.map(drop)
    })
    .await;
}

#[tokio::test]
async fn a_restricted_client_is_served_by_a_proxy_that_would_be_unknown() {
    let name = "a_restricted_client_is_served_by_a_proxy_that_would_be_unknown";
    in_a_network(name, async |site| {
        // Without a probe server, the proxy stays unknown, and the client gets nobody.
        let mut relay = Relay::listen_on(RELAY).await?;
        let broker = site.broker(&relay, Probing::Off).await?;
        let proxy = site.proxy(Access::Direct, &relay)?;
        site.sees("proxy_polls", "unknown", "idle").await?;
        let client = site.client("client-before").await?;
        site.sees("client_polls", "restricted", "denied").await?;
        drop((client, proxy, broker));

        let _broker = site.broker(&relay, Probing::TwoAddresses).await?;
        let _proxy = site.proxy(Access::Direct, &relay)?;
        site.sees("proxy_polls", "unrestricted", "idle").await?;
        let _client = site.client("client-after").await?;
        timeout(LONG_ENOUGH, relay.receive(GREETING.as_bytes()))
            .await
            .context("the greeting does not arrive at the bridge")??;
        Ok(())
    })
    .await;
}

/// Runs a test in its own network.
async fn in_a_network(name: &str, test: impl AsyncFnOnce(&Site<'_>) -> Result<()>) {
    let ran = async {
        if !namespace::entered() {
            return namespace::run_inside(&format!("nat_probe::{name}")).await;
        }
        let scratch = tempfile::tempdir()?;
        let site = Site::make(scratch.path()).await?;
        match timeout(LONG_ENOUGH * 5 / 2, test(&site)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => bail!("{error:#}\n{}", logs(scratch.path())?),
            Err(_) => bail!("it takes too long\n{}", logs(scratch.path())?),
        }
    };
    if let Err(error) = ran.await {
        panic!("{error:#}");
    }
}
