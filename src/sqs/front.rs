//! The front for one queue that clients write to.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::broker::{Broker, clock};
use crate::metrics::labels::PrivatePoolName;

use super::failure_log::FailureLog;
use super::{CallError, Cause, LONG_POLL, Queue, QueueMessage};

/// The maximum number of messages per call in SQS.
const BATCH: usize = 10;

/// The number of additional calls that wait for messages while each call returns a full
/// batch: one alone takes ten messages per round trip, which is too few for the largest
/// broker's busy hours.
const HELPERS: usize = 3;

/// The time for which a message stays hidden after its client has stopped waiting: enough
/// to send the response and delete the message.
const HANDLING: Duration = Duration::from_secs(5);

/// The time that a call may take in addition to its wait.
const LATENCY: Duration = Duration::from_secs(1);

/// The delays after failures, in the end 8 s on average. Clients' messages are useless
/// after some seconds, so the delays must not prolong an outage by much.
const PAUSES: Backoff =
    Backoff::doubling(Duration::from_millis(666), Duration::from_millis(10_666));

/// Options for serving a queue.
#[derive(Clone, Debug)]
pub struct QueueOptions {
    /// The name of the queue in the log.
    pub name: String,
    /// The private pool whose clients write to it; `None` if it is everybody's.
    pub pool: Option<PrivatePoolName>,
    /// The maximum number of messages handled at once.
    pub concurrency: usize,
    /// Returns a random number from 0 to 1.
    pub jitter: fn() -> f64,
}

/// Serves the clients that write to one queue.
#[derive(Debug)]
pub struct QueueFront<Q> {
    pub(super) queue: Q,
    /// The public broker, which counts what is of the queue.
    pub(super) broker: Arc<Broker>,
    pool: Option<PrivatePoolName>,
    pub(super) failures: FailureLog,
    /// True if the last reply queue could be created.
    pub(super) are_reply_queues_created: AtomicBool,
    slots: Arc<Semaphore>,
    jitter: fn() -> f64,
}

impl<Q: Queue> QueueFront<Q> {
    /// A front that does not serve yet.
    pub fn new(queue: Q, broker: Arc<Broker>, options: QueueOptions) -> Arc<Self> {
        Arc::new(Self {
            queue,
            broker,
            pool: options.pool,
            failures: FailureLog::of(options.name),
            are_reply_queues_created: AtomicBool::new(false),
            slots: Arc::new(Semaphore::new(options.concurrency)),
            jitter: options.jitter,
        })
    }

    /// Receives messages until `stop`, whatever goes wrong, and returns when all received
    /// messages are handled.
    pub async fn serve(self: Arc<Self>, stop: CancellationToken) {
        let (handlers, helpers) = (TaskTracker::new(), TaskTracker::new());
        let (mut is_open, mut failed) = (false, 0);
        while let Some(slots) = stop.run_until_cancelled(self.free_slots()).await {
            let messages = tokio::select! {
                messages = self.next_messages(&mut is_open, slots.len()) => messages,
                () = last_call(&stop) => break,
            };
            match messages {
                Ok(messages) => {
                    if failed > 0 {
                        self.failures.over();
                    }
                    failed = 0;
                    if messages.len() == BATCH && helpers.len() < HELPERS {
                        helpers.spawn(Arc::clone(&self).help(handlers.clone(), stop.clone()));
                    }
                    self.begin(&handlers, messages, slots);
                }
                Err(error) => {
                    drop(slots);
                    self.failures.report(&error, self.broker.metrics());
                    // The queue was deleted, so it is created again.
                    is_open &= error.cause != Cause::NoSuchQueue;
                    failed += 1;
                    let pause = sleep(PAUSES.delay(failed, (self.jitter)()));
                    stop.run_until_cancelled(pause).await;
                }
            }
        }
        helpers.close();
        helpers.wait().await;
        handlers.close();
        handlers.wait().await;
    }

    /// Receives messages as long as each call returns a full batch.
    async fn help(self: Arc<Self>, handlers: TaskTracker, stop: CancellationToken) {
        while let Some(slots) = stop.run_until_cancelled(self.free_slots()).await {
            let messages = tokio::select! {
                messages = self.receive(slots.len()) => self.noted(messages),
                () = last_call(&stop) => None,
            };
            let Some(messages) = messages else {
                return;
            };
            let is_last = messages.len() < BATCH;
            self.begin(&handlers, messages, slots);
            if is_last {
                return;
            }
        }
    }

    fn begin(
        self: &Arc<Self>,
        handlers: &TaskTracker,
        messages: Vec<QueueMessage>,
        slots: Vec<OwnedSemaphorePermit>,
    ) {
        for (message, slot) in messages.into_iter().zip(slots) {
            handlers.spawn(Arc::clone(self).handle_in(slot, message));
        }
    }

    async fn next_messages(
        &self,
        is_open: &mut bool,
        most: usize,
    ) -> Result<Vec<QueueMessage>, CallError> {
        if !*is_open {
            self.queue.open().await?;
            *is_open = true;
        }
        self.receive(most).await
    }

    async fn receive(&self, most: usize) -> Result<Vec<QueueMessage>, CallError> {
        let hidden = self.broker.client_timeout() + HANDLING;
        self.queue.receive(most, hidden).await
    }

    /// Waits for a free slot for a message, and takes more slots if they are free.
    async fn free_slots(&self) -> Vec<OwnedSemaphorePermit> {
        let mut slots = Vec::with_capacity(BATCH);
        // The semaphore is never closed.
        slots.extend(Arc::clone(&self.slots).acquire_owned().await);
        while slots.len() < BATCH
            && let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned()
        {
            slots.push(slot);
        }
        slots
    }

    /// The broker of those who write to the queue; `None` if their private pool has ended.
    pub(super) fn broker_of_clients(&self) -> Option<Arc<Broker>> {
        let Some(name) = &self.pool else {
            return Some(Arc::clone(&self.broker));
        };
        let pools = self.broker.private_pools()?;
        let pool = pools.named(name, clock::wall_clock())?;
        Some(Arc::clone(&pool.broker))
    }

    async fn handle_in(self: Arc<Self>, slot: OwnedSemaphorePermit, message: QueueMessage) {
        self.handle(message).await;
        drop(slot);
    }
}

/// Returns some time after `stop`: a call that waits for messages is allowed to end, since
/// the messages that it takes would be hidden from a successor.
async fn last_call(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(LONG_POLL + LATENCY).await;
}
