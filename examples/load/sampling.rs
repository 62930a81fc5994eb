//! Samples over a run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep_until;

use crate::peers::Load;
use crate::report::Sample;
use crate::run::Reading;
use crate::server::Server;

/// Takes samples of length `every` from `start` to `end`; the last may be shorter.
pub(crate) async fn take(
    server: &Server,
    load: &Arc<Load>,
    every: Duration,
    start: Instant,
    end: Instant,
) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let mut begin = Reading::take(server, &load.tally)?;
    while begin.at < end {
        sleep_until((begin.at + every).min(end).into()).await;
        let reading = Reading::take(server, &load.tally)?;
        let latency = load.tally.take_latency_of_sample();
        let since_start = reading.at - start;
        samples.push(Sample::between(&begin, &reading, since_start, &latency));
        begin = reading;
    }
    Ok(samples)
}
