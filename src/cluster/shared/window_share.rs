//! A node's share of the windows of its cluster: its own window ends when the cluster's does.
//! Its counts go to the cluster as a part, and the blocks come from there.

use std::sync::Arc;
use std::time::SystemTime;

use crate::cluster::node::Cluster;
use crate::metrics::Metrics;
use crate::metrics::distinct_ips::WindowKey;
use crate::metrics::saved_state::{SavedPart, SavedShare};

use super::work::SharedBlock;

/// This node's share of the windows of its cluster.
#[derive(Debug)]
pub struct WindowShare {
    cluster: Arc<Cluster>,
    share: SavedShare,
}

/// Random numbers for a window that begins.
#[derive(Clone, Copy, Debug)]
pub struct WindowRandom {
    /// The number of the part that ends.
    pub id: u64,
    /// The key of the window that begins.
    pub key: WindowKey,
}

impl WindowShare {
    /// Continues with what the last process saved.
    pub fn new(cluster: Arc<Cluster>, saved: Option<SavedShare>) -> Self {
        Self {
            cluster,
            share: saved.unwrap_or_default(),
        }
    }

    /// The cluster.
    pub fn cluster(&self) -> Arc<Cluster> {
        Arc::clone(&self.cluster)
    }

    /// The share, to be saved with the counts.
    pub fn saved(&self) -> SavedShare {
        self.share.clone()
    }

    /// Ends the window if the cluster's has ended. Returns true if something has changed,
    /// which is to be saved before [`Self::offer`]: a process that continued from before
    /// would count again what the cluster has.
    pub fn advance<E>(
        &mut self,
        metrics: &Metrics,
        now: SystemTime,
        random: impl FnOnce() -> Result<WindowRandom, E>,
    ) -> Result<bool, E> {
        let pending = self.share.parts.len();
        let contributed = self.cluster.take_contributed();
        let parts = &mut self.share.parts;
        parts.retain(|part| !contributed.contains(&part.id));
        let has_changed = parts.len() < pending;
        let current = self.cluster.window();
        let Some(current) = current.filter(|current| *current != self.share.window) else {
            return Ok(has_changed);
        };
        // Without a number, the window is the first that we hear of. If the number is lower,
        // the bucket is another one.
        if self.share.window > 0 && current > self.share.window {
            self.take(metrics, now, random()?, true);
        }
        self.share.window = current;
        self.share.last_block = self.share.last_block.min(current.saturating_sub(1));
        Ok(true)
    }

    /// Ends the share of the window before the window ends, because the node stops.
    pub fn stop(&mut self, metrics: &Metrics, now: SystemTime, random: WindowRandom) {
        if self.share.window > 0 {
            self.take(metrics, now, random, false);
        }
    }

    fn take(&mut self, metrics: &Metrics, now: SystemTime, random: WindowRandom, is_last: bool) {
        self.share.parts.push(SavedPart {
            id: random.id,
            window: self.share.window,
            is_last,
            state: metrics.take_window(now, random.key).encode(),
        });
    }

    /// Gives the cluster what it does not have yet.
    pub fn offer(&self) {
        for part in &self.share.parts {
            self.cluster.contribute(part);
        }
    }

    /// The blocks that are not in the log yet, oldest first.
    pub fn take_blocks(&mut self) -> Vec<SharedBlock> {
        let blocks = self.cluster.blocks_after(self.share.last_block);
        if let Some(last) = blocks.last() {
            self.share.last_block = last.number;
        }
        blocks
    }
}
