//! The metrics log of a node of a cluster, whose nodes have one.

use std::sync::Arc;
use std::time::SystemTime;

use crate::broker::clock;
use crate::causes::with_causes;
use crate::cluster::Cluster;
use crate::cluster::shared::{SharedBlock, WindowRandom, WindowShare};
use crate::metrics::{impact_log, published_log};

use crate::app::entropy;

use super::{MetricsPersistence, random_key};

impl MetricsPersistence {
    /// Has its windows in common with the other nodes of a cluster, if there is one.
    #[must_use]
    pub(in crate::app) fn sharing(mut self, cluster: Option<Arc<Cluster>>) -> Self {
        let saved = self.saved_share.take();
        let Some(cluster) = cluster else {
            let lost = saved.map_or(0, |share| share.parts.len());
            if lost > 0 {
                tracing::warn!(
                    "lost the counts of {lost} windows, which were not in the cluster yet: this \
                     broker is no node of one any more"
                );
            }
            return self;
        };
        self.shared = Some(WindowShare::new(cluster, saved));
        self
    }

    /// Does what is due in a cluster.
    pub(super) fn act_in_cluster(&mut self, now: SystemTime) {
        let Some(shared) = &mut self.shared else {
            return;
        };
        let advanced = shared.advance(&self.metrics, now, random);
        let blocks = shared.take_blocks();
        let has_changed = advanced.unwrap_or_else(|error| {
            let causes = with_causes(error.as_ref());
            tracing::warn!("cannot end the window, and will try again: {causes}");
            false
        });
        self.add_blocks(&blocks);
        if has_changed || !blocks.is_empty() {
            self.save(now);
        }
        self.offer();
    }

    pub(super) fn offer(&self) {
        if let Some(shared) = &self.shared {
            shared.offer();
        }
    }

    /// Adds the blocks of the cluster to the logs, unless they are there.
    fn add_blocks(&mut self, blocks: &[SharedBlock]) {
        if blocks.is_empty() {
            return;
        }
        let (log, impact_log) = (self.log.tail(), self.impact_log.tail());
        for block in blocks {
            if !published_log::has_block(&log, &block.text) {
                self.log.add(block.text.clone());
            }
            if !impact_log::has_line(&impact_log, &block.impact) {
                self.impact_log.add(block.impact.clone());
            }
        }
    }

    /// Gives the cluster what was counted so far, because this node stops.
    pub(super) fn stop_share(&mut self, now: SystemTime) {
        let Some(shared) = &mut self.shared else {
            return;
        };
        match random() {
            Ok(random) => shared.stop(&self.metrics, now, random),
            Err(error) => {
                let causes = with_causes(error.as_ref());
                tracing::warn!("keep the window for the next start: {causes}");
            }
        }
    }

    /// Forgets what need not be kept any more.
    pub(super) fn forget_contributed(&mut self) {
        let now = clock::wall_clock();
        if let Some(shared) = &mut self.shared
            && shared.advance(&self.metrics, now, random).is_ok()
        {
            self.save_window();
        }
    }
}

/// Random numbers for a window of a cluster.
fn random() -> anyhow::Result<WindowRandom> {
    Ok(WindowRandom {
        id: entropy::seed()?,
        key: random_key()?,
    })
}
