//! The supply of a lender by its own word, less what we have taken of it since.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::matching::pools_for;
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;

/// The age at which a report counts as nothing: three heartbeats have not come.
const FRESH_FOR: Duration = Duration::from_secs(15);

/// The bridges that a lender knows.
type KnownBridges = Arc<HashSet<Fingerprint>>;

/// A lender's word on what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::federation) struct SupplyReport {
    /// So many proxies by pool.
    pub(in crate::federation) proxies: [usize; NatClass::ALL.len()],
    /// It is about to stop.
    pub(in crate::federation) is_draining: bool,
    /// Its bridges, if they have changed.
    pub(in crate::federation) bridges: Option<KnownBridges>,
}

/// The last report, less what was taken since.
#[derive(Debug)]
pub(super) struct KnownSupply {
    at: Instant,
    free: [usize; NatClass::ALL.len()],
    is_draining: bool,
    bridges: KnownBridges,
}

impl KnownSupply {
    /// The first report of a connection, or the next one after `before`.
    pub(super) fn new(now: Instant, report: SupplyReport, before: Option<Self>) -> Self {
        let known = before.map(|before| before.bridges).unwrap_or_default();
        Self {
            at: now,
            free: report.proxies,
            is_draining: report.is_draining,
            bridges: report.bridges.unwrap_or(known),
        }
    }

    /// The number of proxies for a client of this class; none if the report is too old.
    pub(super) fn free_for(&self, now: Instant, class: NatClass) -> usize {
        let free = self.free(now);
        let pools = pools_for(class).iter();
        pools.map(|&pool| free[pool as usize]).sum()
    }

    /// The number of proxies by pool.
    pub(super) fn free(&self, now: Instant) -> [usize; NatClass::ALL.len()] {
        if self.is_draining || self.age(now) > FRESH_FOR {
            return Default::default();
        }
        self.free
    }

    pub(super) fn knows(&self, fingerprint: Fingerprint) -> bool {
        self.bridges.contains(&fingerprint)
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// An offer of this class is sent: it gets a proxy of the pool that the
    /// lender tries first. The next report tells better.
    pub(super) fn take(&mut self, class: NatClass) {
        let mut pools = pools_for(class).iter();
        let pool = pools.find(|&&pool| self.free[pool as usize] > 0);
        if let Some(&pool) = pool {
            self.free[pool as usize] -= 1;
        }
    }

    /// The lender says that it has nothing for this class after all.
    pub(super) fn has_none_for(&mut self, class: NatClass) {
        for &pool in pools_for(class) {
            self.free[pool as usize] = 0;
        }
    }

    /// The lender takes nothing at all, until its next report.
    pub(super) fn has_nothing(&mut self) {
        self.free = Default::default();
    }

    /// The lender does not know this bridge after all.
    pub(super) fn forget(&mut self, fingerprint: Fingerprint) {
        Arc::make_mut(&mut self.bridges).remove(&fingerprint);
    }
}
