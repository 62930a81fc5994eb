//! Discovery of brokers by DNS. It finds addresses only; the brokers must prove their
//! identity.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::proto::rr::RData;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::broker::clock;
use crate::causes::with_causes;
use crate::federation::Federation;

/// The service name of brokers in DNS (RFC 2782).
const SERVICE: &str = "_snowflake-fed._tcp";
/// The pause after a failure, and the minimum time between lookups.
const SHORTEST: Duration = Duration::from_secs(5);
/// The maximum time for which an answer is kept.
const LONGEST: Duration = Duration::from_hours(1);
/// The maximum number of addresses that are used.
const FOUND_MAX: usize = 256;

/// A DNS answer and its expiry.
struct Found {
    addrs: BTreeSet<String>,
    until: Instant,
}

/// Looks up brokers at the configured name, and again whenever the answer has expired.
/// Until a new answer arrives, the last one stays in force. Returns when the sender is
/// gone.
pub(super) async fn keep(mut name: watch::Receiver<Option<String>>, federation: Arc<Federation>) {
    let mut problem = String::new();
    loop {
        let discover = name.borrow_and_update().clone();
        let pause = match &discover {
            None => {
                federation.set_found(BTreeSet::new());
                None
            }
            Some(discover) => Some(look(discover, &federation, &mut problem).await),
        };
        tokio::select! {
            changed = name.changed() => if changed.is_err() { return },
            () = pause_for(pause) => {}
        }
    }
}

async fn pause_for(pause: Option<Duration>) {
    match pause {
        Some(pause) => sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// Looks up once, and returns the time until the next lookup. Logs a problem if it
/// differs from the last one.
async fn look(discover: &str, federation: &Federation, problem: &mut String) -> Duration {
    let found = async { find(&resolver()?, discover).await };
    match found.await {
        Ok(found) => {
            problem.clear();
            federation.set_found(found.addrs);
            let left = found.until.saturating_duration_since(clock::now());
            left.clamp(SHORTEST, LONGEST)
        }
        Err(error) => {
            let said = with_causes(error.as_ref());
            if *problem != said {
                tracing::warn!(problem = said, "federation.discover: cannot find peers");
                *problem = said;
            }
            SHORTEST
        }
    }
}

/// A resolver with the system's configuration, created anew each time, since that may
/// change.
fn resolver() -> anyhow::Result<TokioResolver> {
    let mut builder = TokioResolver::builder_tokio().context("cannot read /etc/resolv.conf")?;
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build().context("cannot read /etc/resolv.conf")
}

/// Service records if there are any, or else addresses with the port of the setting.
async fn find(resolver: &TokioResolver, discover: &str) -> anyhow::Result<Found> {
    let (host, port) = discover.rsplit_once(':').context("must name a port")?;
    // The final dot prevents a search in local domains.
    let host = host.trim_end_matches('.');
    if let Ok(services) = resolver.srv_lookup(format!("{SERVICE}.{host}.")).await {
        let targets = services
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(service) => Some((service.target.to_utf8(), service.port)),
                _ => None,
            });
        let addrs =
            targets.map(|(target, port)| format!("{}:{port}", target.trim_end_matches('.')));
        return Ok(Found {
            addrs: addrs.take(FOUND_MAX).collect(),
            until: services.valid_until(),
        });
    }
    let addresses = resolver
        .lookup_ip(format!("{host}."))
        .await
        .map_err(|error| anyhow!("{host}: {error}"))?;
    let port: u16 = port.parse().context("its port must be a number")?;
    let addrs = addresses
        .iter()
        .map(|address| (address, port))
        .map(|addr| std::net::SocketAddr::from(addr).to_string());
    Ok(Found {
        addrs: addrs.take(FOUND_MAX).collect(),
        until: addresses.valid_until(),
    })
}

#[cfg(test)]
mod tests;
