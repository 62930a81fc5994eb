//! The changes of settings that the administration of a node makes, as the program hands them over
//! and takes those of all.

use std::time::Instant;

use crate::cluster::node::Cluster;

use super::bucket::NotWritten;
use super::changes::SharedChange;

impl Cluster {
    /// Has a setting that was changed here hold for all nodes: a request with all values of
    /// its kind.
    pub fn share_change(&self, name: &str, request: Vec<u8>) {
        self.shared.replica().changes.set(name, request);
        self.shared.has_work.notify_one();
    }

    /// Has a setting that is in force here since before hold for all nodes, unless they know
    /// otherwise.
    pub fn propose_change(&self, name: &str, request: Vec<u8>) {
        let mut replica = self.shared.replica();
        replica.changes.propose(name, request);
        if replica.is_complete {
            replica.changes.complete();
        }
        drop(replica);
        self.shared.has_work.notify_one();
    }

    /// Ends all changes of settings but private pools: all nodes return to their
    /// configurations.
    pub fn end_changes(&self) {
        self.shared.replica().changes.end_all();
        self.shared.has_work.notify_one();
    }

    /// The changes of settings, also our own, that were made or ended since this was last
    /// called, to be put in force.
    pub fn take_changes(&self) -> Vec<SharedChange> {
        self.shared.replica().changes.take_fresh()
    }

    /// Tells the operator that a change was not written.
    pub(super) fn tell_unwritten(&self, now: Instant, error: &NotWritten) {
        if let NotWritten::Refused(reason) = error
            && let Some(suppressed) = self.changes.admit("changes", now)
        {
            tracing::warn!(
                suppressed,
                "cluster: what the administration has changed here does not reach the other nodes \
                 yet: {reason}"
            );
        }
    }
}
