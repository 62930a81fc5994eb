//! A node's part in what is shared: it watches the bucket, and writes what is to be written.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use prost::Message;
use tokio::sync::futures::Notified;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::broker::clock::{self, Reading};
use crate::causes::with_causes;
use crate::cluster::node::Cluster;
use crate::metrics::labels::DroppedMessage;
use crate::metrics::saved_state::{SavedPart, SavedState};
use crate::proto::cluster::v1;

use super::bucket::{Bucket, BucketCall, BucketEvent, NotWritten};
use super::changes::RETRY_AFTER;
use super::parts;
use super::replica::{self, BadValue, LEASE, Replica, Task, WINDOW, lease, sealed_for};
use super::windows::{Duty, Merge};

/// The interval of looking for something to do.
const TICK: Duration = Duration::from_secs(1);
/// The shortest window, whatever the settings say.
const SHORTEST_WINDOW: Duration = Duration::from_secs(1);
/// The maximum time of a write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum time to give the lease back when stopping.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);

/// The block of a window, as every node adds it to its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedBlock {
    /// The number of the window.
    pub number: u64,
    /// The lines of the metrics log.
    pub text: String,
    /// The line of the impact log.
    pub impact: String,
}

impl Cluster {
    /// Watches the bucket and writes to it what this node has to. A window of the metrics log
    /// has this length. Returns when the events have ended.
    pub async fn share(
        self: Arc<Self>,
        bucket: Arc<dyn Bucket>,
        window: Duration,
        mut events: impl Stream<Item = BucketEvent> + Unpin,
    ) {
        drop(self.shared.bucket.set(Arc::clone(&bucket)));
        self.metrics.bucket_away(true);
        let window = window.max(SHORTEST_WINDOW);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut not_before = None;
        loop {
            tokio::select! {
                biased;
                event = events.next() => match event {
                    Some(event) => self.observe(event),
                    None => return,
                },
                _ = ticks.tick() => {}
                () = self.shared.has_work.notified() => {}
            }
            // What has failed fails again if it is tried at each event of many.
            while not_before.is_none_or(|time| clock::now() >= time)
                && let Some(task) = self.task(window)
            {
                if self.perform(bucket.as_ref(), task).await.is_err() {
                    not_before = Some(clock::now() + RETRY_AFTER);
                }
            }
        }
    }

    fn observe(&self, event: BucketEvent) {
        match event {
            BucketEvent::Began => self.shared.replica().begin_watch(),
            BucketEvent::Written {
                key,
                revision,
                value,
            } => {
                self.observe_value(&key, revision, &value);
                // It is written all the time, and nobody waits for it.
                if key == LEASE {
                    return;
                }
            }
            BucketEvent::Complete => {
                self.shared.replica().complete();
                self.tell_bucket(None);
            }
            BucketEvent::Ended(reason) => {
                self.shared.replica().is_complete = false;
                self.tell_bucket(Some(&reason));
            }
        }
        self.shared.changed.notify_waiters();
    }

    fn observe_value(&self, key: &str, revision: u64, value: &[u8]) {
        let (now, keys) = (clock::read(), &self.keys);
        let mut replica = self.shared.replica();
        let dropped = match replica.observe(now, keys, key, revision, value) {
            Ok(()) => return,
            Err(BadValue::NotSealed) => DroppedMessage::NotSealed,
            Err(BadValue::Malformed) => DroppedMessage::Malformed,
        };
        drop(replica);
        self.metrics.message_dropped(dropped);
        if let Some(suppressed) = self.changes.admit("values", now.monotonic) {
            tracing::warn!(
                suppressed,
                "cluster: a value in the shared bucket is none of this cluster: somebody else \
                 writes to it, or a node has other keys"
            );
        }
    }

    fn tell_bucket(&self, problem: Option<&str>) {
        let mut told = self
            .shared
            .told
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *told == Some(problem.is_none()) {
            return;
        }
        *told = Some(problem.is_none());
        self.metrics.bucket_away(problem.is_some());
        match problem {
            None => tracing::info!("cluster: the shared bucket is there"),
            Some(reason) => tracing::warn!(
                "cluster: the shared bucket cannot be reached, and until it can, no window of the \
                 metrics log ends and the administration changes this node only: {reason}"
            ),
        }
    }

    /// The next thing to write.
    fn task(&self, window: Duration) -> Option<Task> {
        let mut live: BTreeSet<String> = self
            .state()
            .members
            .names()
            .iter()
            .map(ToString::to_string)
            .collect();
        live.insert(self.me.node.clone());
        self.shared.replica().task(clock::read(), window, &live)
    }

    /// Performs a task. Fails if it has to be tried again later.
    async fn perform(&self, bucket: &dyn Bucket, task: Task) -> Result<(), ()> {
        let performed = match task {
            Task::Lease { expected } => self.renew(bucket, expected).await,
            Task::Piece { key, piece } => self.write_piece(bucket, key, &piece).await,
            Task::Change {
                key,
                expected,
                setting,
            } => self.write_change(bucket, &key, expected, setting).await,
            Task::Duty(Duty::Begin { expected, window }) => {
                self.begin_window(bucket, expected, window).await
            }
            Task::Duty(Duty::Merge(merge)) => self.merge(bucket, merge).await,
            Task::Duty(Duty::ErasePart(id)) => {
                let erased = in_time(bucket.erase(parts::all_keys(id))).await;
                erased.map(|()| self.shared.replica().windows.has_erased_part(id))
            }
            Task::Duty(Duty::EraseBlock(number)) => {
                let erased = in_time(bucket.erase(replica::block(number))).await;
                erased.map(|()| self.shared.replica().windows.has_erased_block(number))
            }
        };
        // The watch tells who has written instead.
        performed.map_err(|error| {
            if let NotWritten::Refused(reason) = error {
                tracing::debug!("cluster: the shared bucket takes no value: {reason}");
            }
        })
    }

    async fn renew(&self, bucket: &dyn Bucket, expected: u64) -> Result<(), NotWritten> {
        let begun = clock::now();
        let lease = lease(&self.me.node, self.me.incarnation, self.millis(begun));
        self.shared.replica().lease.attempt(begun);
        let revision = self.write(bucket, LEASE, expected, &lease).await?;
        let now = clock::now();
        self.shared.replica().lease.written(now, revision, lease);
        Ok(())
    }

    async fn write_piece(
        &self,
        bucket: &dyn Bucket,
        key: String,
        piece: &v1::PartChunk,
    ) -> Result<(), NotWritten> {
        match self.write(bucket, &key, 0, piece).await {
            // An attempt that seemed to fail has written it.
            Ok(_) | Err(NotWritten::Changed) => {
                self.note(Replica::has_written_piece);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn write_change(
        &self,
        bucket: &dyn Bucket,
        key: &str,
        expected: u64,
        setting: v1::SharedSetting,
    ) -> Result<(), NotWritten> {
        let written = self.write(bucket, key, expected, &setting).await;
        if let Err(error) = &written {
            let now = clock::now();
            self.shared.replica().changes.has_failed(now, key);
            self.tell_unwritten(now, error);
        }
        let revision = written?;
        self.note(|replica| {
            replica
                .changes
                .has_written(clock::now(), key, &setting.request);
            // Put in force once more, since another's may have come in between.
            replica.changes.observe(key, revision, setting)
        });
        Ok(())
    }

    /// Reads what is in the place of a value of ours. The watch has told it, too, but what nobody
    /// can read is not kept under any name, and whoever empties the bucket is not told of.
    async fn look_at(&self, bucket: &dyn Bucket, key: &str, expected: u64) {
        match in_time(bucket.read(key.to_owned())).await {
            Ok(Some((revision, value))) => self.observe_value(key, revision, &value),
            Ok(None) if expected > 0 => self.note(Replica::has_vanished),
            Ok(None) | Err(_) => {}
        }
    }

    async fn begin_window(
        &self,
        bucket: &dyn Bucket,
        expected: u64,
        window: v1::Window,
    ) -> Result<(), NotWritten> {
        let revision = self.write(bucket, WINDOW, expected, &window).await?;
        let Reading { wall, monotonic } = clock::read();
        self.note(|replica| {
            let windows = &mut replica.windows;
            windows.observe_window(monotonic, wall, revision, Some(window));
        });
        Ok(())
    }

    async fn merge(&self, bucket: &dyn Bucket, merge: Merge) -> Result<(), NotWritten> {
        let Merge {
            number,
            start,
            end,
            parts,
        } = merge;
        let contents: Vec<_> = {
            let replica = self.shared.replica();
            let contents = parts.into_iter();
            contents
                .filter_map(|id| Some((id, replica.windows.content(id)?)))
                .collect()
        };
        let metrics = Arc::clone(&self.metrics);
        let merged = spawn_blocking(move || {
            let (ids, states): (Vec<_>, Vec<_>) = contents.iter().filter_map(decode_part).unzip();
            (ids, metrics.merged(states, start, end))
        });
        let merged = merged.await;
        let (ids, window) = merged.map_err(|error| NotWritten::Refused(error.to_string()))?;
        let block = v1::Block {
            text: window.block.encode(),
            impact: window.impact.encode(),
            parts: ids,
        };
        let key = replica::block(number);
        let expected = self.shared.replica().windows.block_revision(number);
        self.write(bucket, &key, expected, &block).await?;
        self.note(|replica| replica.windows.observe_block(&key, block));
        Ok(())
    }

    /// Notes what was written, without waiting for the watch to tell it.
    fn note<T>(&self, change: impl FnOnce(&mut Replica) -> T) {
        change(&mut self.shared.replica());
        self.shared.changed.notify_waiters();
    }

    /// Seals a value and writes it.
    async fn write(
        &self,
        bucket: &dyn Bucket,
        key: &str,
        expected: u64,
        value: &impl Message,
    ) -> Result<u64, NotWritten> {
        let sealed = self.keys.seal(&sealed_for(key), &value.encode_to_vec());
        let sealed = sealed.map_err(|error| NotWritten::Refused(error.to_string()))?;
        let written = in_time(bucket.write(key.to_owned(), expected, sealed.into())).await;
        if written == Err(NotWritten::Changed) {
            self.look_at(bucket, key, expected).await;
        }
        written
    }

    /// Gives the lease back, so that another node need not wait for its end.
    pub async fn give_back_lease(&self) {
        let ours = self.shared.replica().lease.ours(clock::now());
        if let (Some(expected), Some(bucket)) = (ours, self.shared.bucket.get()) {
            let nobody = v1::Lease::default();
            let given = self.write(bucket.as_ref(), LEASE, expected, &nobody);
            drop(timeout(GOODBYE_TIMEOUT, given).await);
        }
    }

    /// The number of the current window of the cluster, once it is known.
    pub fn window(&self) -> Option<u64> {
        self.shared.replica().windows.number()
    }

    /// Adds what this node has counted in a window to what the cluster has. It is safe to
    /// repeat that.
    pub fn contribute(&self, part: &SavedPart) {
        self.shared.replica().contribute(part);
        self.shared.has_work.notify_one();
    }

    /// The parts that are in the bucket now and were not when this was last called. They need
    /// not be kept any more.
    pub fn take_contributed(&self) -> BTreeSet<u64> {
        self.shared.replica().take_contributed()
    }

    /// Completes when all parts are in the bucket.
    pub async fn has_contributed(&self) {
        loop {
            let changed = self.shared.changed.notified();
            if !self.shared.replica().has_outgoing() {
                return;
            }
            changed.await;
        }
    }

    /// The blocks after this number, oldest first.
    pub fn blocks_after(&self, number: u64) -> Vec<SharedBlock> {
        let replica = self.shared.replica();
        let blocks = replica.windows.blocks_after(number);
        blocks
            .map(|(number, block)| SharedBlock {
                number,
                text: block.text.clone(),
                impact: block.impact.clone(),
            })
            .collect()
    }

    /// Completes when something has changed since the call.
    pub fn shared_changed(&self) -> Notified<'_> {
        self.shared.changed.notified()
    }
}

/// Reads a part. One that this release cannot read is left for a node that can.
fn decode_part((id, content): &(u64, Vec<u8>)) -> Option<(u64, SavedState)> {
    match SavedState::decode(content) {
        Ok(state) => Some((*id, state)),
        Err(error) => {
            tracing::warn!(
                "cluster: cannot read what a node has counted, and leave it to another: {}",
                with_causes(&error)
            );
            None
        }
    }
}

async fn in_time<T>(writing: BucketCall<'_, T>) -> Result<T, NotWritten> {
    let written = timeout(WRITE_TIMEOUT, writing).await;
    written.unwrap_or_else(|_| Err(NotWritten::Refused("no reply in time".to_owned())))
}
