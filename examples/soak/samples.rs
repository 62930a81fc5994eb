//! Samples of A, taken each second from `/proc` and from its page for operators.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use procfs::page_size;
use procfs::process::Process;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::support::exposition::Exposition;

const EVERY: Duration = Duration::from_secs(1);

/// A at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Seconds since the load began.
    pub(crate) at: f64,
    /// Resident memory, and that without what others share, in bytes.
    pub(crate) rss: u64,
    pub(crate) pss: u64,
    pub(crate) files: u64,
    pub(crate) threads: u64,
    /// Clients that had an answer so far.
    pub(crate) matches: u64,
    pub(crate) parked: u64,
    pub(crate) connections: u64,
    pub(crate) bytes_in_flight: u64,
}

impl Sample {
    pub(crate) fn hours(&self) -> f64 {
        self.at / 3_600.0
    }

    /// The resident memory.
    pub(crate) fn megabytes(&self) -> f64 {
        to_float(self.rss) / 1e6
    }

    pub(crate) async fn take(a: &Node, process: &Process, at: f64) -> Result<Self> {
        let stat = process.stat().context("A has ended")?;
        let page = a.metrics().await?;
        let sum = |name| page.sum(name, &[]);
        Ok(Self {
            at,
            rss: stat.rss * page_size(),
            pss: pss(process)?,
            files: process.fd_count()?.try_into()?,
            threads: stat.num_threads.try_into()?,
            matches: matches(&page),
            parked: sum("snowflake_broker_parked_polls"),
            connections: sum("snowflake_broker_open_connections"),
            bytes_in_flight: sum("snowflake_broker_bytes_in_flight"),
        })
    }
}

/// Takes samples until the load ends.
pub(crate) async fn take(a: &Node, ending: &CancellationToken) -> Result<Vec<Sample>> {
    let (process, started) = (a.seen()?, Instant::now());
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut samples = Vec::new();
    while ending.run_until_cancelled(every.tick()).await.is_some() {
        let at = started.elapsed().as_secs_f64();
        samples.push(Sample::take(a, &process, at).await?);
    }
    Ok(samples)
}

fn matches(page: &Exposition) -> u64 {
    page.sum(
        "snowflake_broker_client_polls_total",
        &[("outcome", "matched")],
    )
}

fn pss(process: &Process) -> Result<u64> {
    let maps = process.smaps_rollup()?.memory_map_rollup;
    let mut maps = maps.into_iter();
    let pss = maps.find_map(|map| map.extension.map.get("Pss").copied());
    pss.context("there is no Pss")
}

#[expect(clippy::cast_precision_loss, reason = "none of these comes near 2^52")]
pub(crate) fn to_float(number: u64) -> f64 {
    number as f64
}
