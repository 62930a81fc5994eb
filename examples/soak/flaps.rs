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
/// Seconds from one fault of a neighbor to the next, and for which it is away.
const FAULT_EVERY: Range<f64> = 20.0..40.0;
const AWAY: Range<f64> = 1.0..8.0;
/// Seconds for which the NATS server hangs or is away.
const SERVER_AWAY: Range<f64> = 1.0..5.0;

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
pub(crate) async fn broker(node: &mut Node, ending: &CancellationToken) -> Result<u64> {
    let mut count = 0;
    while wait(FAULT_EVERY, ending).await {
        let signal = [Signal::KILL, Signal::TERM][usize::from(count % 2 == 1)];
        node.end(signal).await?;
        wait(AWAY, ending).await;
        node.start().await?;
        count += 1;
    }
    Ok(count)
}

/// Has the NATS server hang or restart, alternately. Returns how often.
pub(crate) async fn nats(server: &mut Node, ending: &CancellationToken) -> Result<u64> {
    let mut count = 0;
    while wait(FAULT_EVERY, ending).await {
        if count % 2 == 0 {
            server.signal(Signal::STOP)?;
            wait(SERVER_AWAY, ending).await;
            server.signal(Signal::CONT)?;
        } else {
            server.end(Signal::TERM).await?;
            wait(SERVER_AWAY, ending).await;
            server.start().await?;
        }
        count += 1;
    }
    Ok(count)
}

/// Waits for a random number of seconds. Returns false as soon as the load ends.
async fn wait(seconds: Range<f64>, ending: &CancellationToken) -> bool {
    let Range { start, end } = seconds;
    let span = Duration::from_secs_f64(start + (end - start) * fastrand::f64());
    ending.run_until_cancelled(sleep(span)).await.is_some()
}
