//! A node's knowledge of the bucket, shared by its tasks.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use crate::broker::clock;

use super::bucket::Bucket;
use super::replica::Replica;

/// The knowledge of the bucket, and the bucket.
pub(in crate::cluster) struct SharedState {
    replica: Mutex<Replica>,
    pub(super) bucket: OnceLock<Arc<dyn Bucket>>,
    /// Notified when the windows, their blocks or our parts have changed.
    pub(super) changed: Notify,
    /// Notified when there is something to write.
    pub(super) has_work: Notify,
    /// The state of the bucket as it was told last.
    pub(super) told: Mutex<Option<bool>>,
}

impl SharedState {
    pub(in crate::cluster) fn new(node: &str, incarnation: u64) -> Self {
        Self {
            replica: Mutex::new(Replica::new(node, incarnation)),
            bucket: OnceLock::new(),
            changed: Notify::new(),
            has_work: Notify::new(),
            told: Mutex::new(None),
        }
    }

    /// The node that writes for all, if one is known to.
    pub(in crate::cluster) fn holder(&self) -> Option<String> {
        let replica = self.replica();
        replica.lease.holder(clock::now()).map(str::to_owned)
    }

    /// Returns true if the bucket is watched.
    pub(in crate::cluster) fn is_watched(&self) -> bool {
        self.replica().is_complete
    }

    /// Locks the replica, which is consistent even if a thread panicked while holding the
    /// lock.
    pub(super) fn replica(&self) -> MutexGuard<'_, Replica> {
        self.replica.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SharedState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SharedState")
            .finish_non_exhaustive()
    }
}
