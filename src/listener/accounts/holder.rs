//! Holders of memory: requests and connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::task::AtomicWaker;
use slotmap::new_key_type;

use super::payer::NetworkPath;

new_key_type! {
    /// The key of a holder.
    pub(super) struct HolderKey;
}

/// Kinds of holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HolderKind {
    Request,
    Connection,
}

/// A request or connection.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) path: NetworkPath,
    pub(super) kind: HolderKind,
    /// The fixed cost, in bytes.
    pub(super) cost: usize,
    pub(super) bytes: usize,
    /// The time since which the connection is idle, on the ledger's logical clock.
    pub(super) idle_since: Option<u64>,
    /// True if the holder was told to go.
    pub(super) is_leaving: bool,
    pub(super) state: Arc<HolderState>,
}

impl Holder {
    pub(super) fn new(
        path: NetworkPath,
        kind: HolderKind,
        cost: usize,
        state: Arc<HolderState>,
    ) -> Self {
        Self {
            path,
            kind,
            cost,
            bytes: 0,
            idle_since: None,
            is_leaving: false,
            state,
        }
    }

    pub(super) fn weight(&self) -> usize {
        self.bytes + self.cost
    }
}

/// The part of a holder that changes without the ledger's lock.
#[derive(Debug, Default)]
pub(super) struct HolderState {
    revoked: AtomicBool,
    pub(super) waker: AtomicWaker,
}

impl HolderState {
    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    /// Makes [`Reservation::revoked`] return.
    pub(super) fn revoke(&self) {
        self.revoked.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(super) fn stay(&self) {
        self.revoked.store(false, Ordering::Release);
    }
}
