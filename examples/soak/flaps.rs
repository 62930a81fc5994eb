//! What happens to A and around it: reloads, and the ends and starts of its neighbors.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::configs;
use crate::node::Node;

const RELOAD_EVERY: Duration = Duration::from_secs(1);
/// The time from one fault of a neighbor to the next, and that for which it is away, in terms
/// of the mean.
const FAULT_EVERY: Range<f64> = 0.7..1.3;
const AWAY: Range<f64> = 0.03..0.3;
/// The time for which the NATS server hangs or is away.
const SERVER_AWAY: Range<f64> = 0.03..0.2;

/// The rhythm of a neighbor's faults, until the load ends.
#[derive(Clone, Copy)]
pub(crate) struct Rhythm<'a> {
    /// The mean time from one fault to the next.
    pub(crate) mean: Duration,
    pub(crate) ending: &'a CancellationToken,
}

impl Rhythm<'_> {
    /// Waits for a random time. Returns false as soon as the load ends.
    async fn wait(self, Range { start, end }: Range<f64>) -> bool {
        let span = self.mean.mul_f64(start + (end - start) * fastrand::f64());
        let waited = self.ending.run_until_cancelled(sleep(span)).await;
        waited.is_some()
    }
}

/// Reloads A each second, each time with other files, until the load ends. Returns the number
/// of reloads. In the end the files are as they were at first.
pub(crate) async fn reloads(a: &Node, folder: &Path, ending: &CancellationToken) -> Result<u64> {
    let mut every = interval(RELOAD_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn = 0;
    while ending.run_until_cancelled(every.tick()).await.is_some() {
        turn += 1;
        configs::change(folder, turn)?;
        a.signal(Signal::HUP)?;
    }
    configs::change(folder, 0)?;
    a.signal(Signal::HUP)?;
    Ok(turn + 1)
}

/// Kills or stops a broker again and again, and starts it after a while. Returns how often.
pub(crate) async fn broker(node: &mut Node, rhythm: Rhythm<'_>) -> Result<u64> {
    let mut count = 0;
    while rhythm.wait(FAULT_EVERY).await {
        let signal = [Signal::KILL, Signal::TERM][usize::from(count % 2 == 1)];
        node.end(signal).await?;
        rhythm.wait(AWAY).await;
        node.start().await?;
        count += 1;
    }
    Ok(count)
}

/// Has the NATS server hang or restart, alternately. Returns how often.
pub(crate) async fn nats(server: &mut Node, rhythm: Rhythm<'_>) -> Result<u64> {
    let mut count = 0;
    while rhythm.wait(FAULT_EVERY).await {
        if count % 2 == 0 {
            server.signal(Signal::STOP)?;
            rhythm.wait(SERVER_AWAY).await;
            server.signal(Signal::CONT)?;
        } else {
            server.end(Signal::TERM).await?;
            rhythm.wait(SERVER_AWAY).await;
            server.start().await?;
        }
        count += 1;
    }
    Ok(count)
}
