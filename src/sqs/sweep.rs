//! Deletion of unused reply queues.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{CallError, Cause, Queue, QueueFront, ReplyQueue};

/// The interval of sweeps.
const ROUND: Duration = Duration::from_secs(30);
/// The age at which a reply queue is deleted. No client waits that long.
const USED_FOR: Duration = Duration::from_mins(2);
/// The minimum time between checks: at most 100 queues per second. On a bad day, a dozen
/// queues per second are created.
const PACE: Duration = Duration::from_millis(10);
/// The number of queues checked concurrently, for a slow service.
const SIDE_BY_SIDE: usize = 8;

impl<Q: Queue> QueueFront<Q> {
    /// Deletes stale reply queues every 30 s until `stop`. One process per account and
    /// region is enough.
    pub async fn sweep(self: Arc<Self>, stop: CancellationToken) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let sweep = async {
            loop {
                rounds.tick().await;
                self.noted(self.sweep_once().await);
            }
        };
        stop.run_until_cancelled(sweep).await;
    }

    /// Checks every reply queue once.
    pub async fn sweep_once(&self) -> Result<(), CallError> {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut after = None;
        loop {
            let listed = self.queue.reply_queues(after).await?;
            self.sweep_page(&listed.queues, &mut pace).await;
            after = listed.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn sweep_page(&self, queues: &[ReplyQueue], pace: &mut Interval) {
        let paced = stream::unfold((queues.iter(), pace), |(mut queues, pace)| async {
            let queue = queues.next()?;
            pace.tick().await;
            Some((queue, (queues, pace)))
        });
        paced
            .for_each_concurrent(SIDE_BY_SIDE, |queue| self.sweep_queue(queue))
            .await;
    }

    async fn sweep_queue(&self, queue: &ReplyQueue) {
        let swept = async {
            let is_stale = self.queue.age(queue).await? >= USED_FOR;
            if is_stale {
                self.queue.delete_reply_queue(queue).await?;
            }
            Ok::<bool, CallError>(is_stale)
        };
        match swept.await {
            Ok(true) => self.broker.metrics().reply_queue_swept(),
            // Another process deleted it.
            Err(error) if error.cause == Cause::NoSuchQueue => {}
            left => drop(self.noted(left)),
        }
    }
}
