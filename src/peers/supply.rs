//! A lender's reported supply, minus what we have borrowed since.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::matching::pools_for;
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;

/// The bridges that a lender knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownBridges {
    /// Those that we know.
    Ours,
    /// These.
    These(Arc<HashSet<Fingerprint>>),
}

impl Default for KnownBridges {
    fn default() -> Self {
        Self::These(Arc::default())
    }
}

/// A lender's report of its supply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SupplyReport {
    /// The number of proxies per pool.
    pub proxies: [usize; NatClass::ALL.len()],
    /// True if the lender is about to stop.
    pub is_draining: bool,
    /// The lender's bridges, if they have changed.
    pub bridges: Option<KnownBridges>,
}

/// The last report, minus what was borrowed since.
#[derive(Debug)]
pub(super) struct KnownSupply {
    at: Instant,
    fresh_for: Duration,
    free: [usize; NatClass::ALL.len()],
    is_draining: bool,
    bridges: KnownBridges,
}

impl KnownSupply {
    /// The first report of a connection, or the one after `before`.
    pub(super) fn new(
        now: Instant,
        fresh_for: Duration,
        report: SupplyReport,
        before: Option<Self>,
    ) -> Self {
        let known = before.map(|before| before.bridges).unwrap_or_default();
        Self {
            at: now,
            fresh_for,
            free: report.proxies,
            is_draining: report.is_draining,
            bridges: report.bridges.unwrap_or(known),
        }
    }

    /// The number of proxies for a client of this class; 0 if the report is too old.
    pub(super) fn free_for(&self, now: Instant, class: NatClass) -> usize {
        let free = self.free(now);
        let pools = pools_for(class).iter();
        pools.map(|&pool| free[pool as usize]).sum()
    }

    /// The number of proxies per pool.
    pub(super) fn free(&self, now: Instant) -> [usize; NatClass::ALL.len()] {
        if self.is_draining || self.age(now) > self.fresh_for {
            return Default::default();
        }
        self.free
    }

    pub(super) fn knows(&self, fingerprint: Fingerprint) -> bool {
        match &self.bridges {
            KnownBridges::Ours => true,
            KnownBridges::These(bridges) => bridges.contains(&fingerprint),
        }
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Subtracts a proxy for an offer of this class, from the pool that the lender tries
    /// first. The next report corrects it.
    pub(super) fn take(&mut self, class: NatClass) {
        let mut pools = pools_for(class).iter();
        let pool = pools.find(|&&pool| self.free[pool as usize] > 0);
        if let Some(&pool) = pool {
            self.free[pool as usize] -= 1;
        }
    }

    /// Records that the lender has no proxy for this class after all.
    pub(super) fn has_none_for(&mut self, class: NatClass) {
        for &pool in pools_for(class) {
            self.free[pool as usize] = 0;
        }
    }

    /// Records that the lender accepts nothing until its next report.
    pub(super) fn has_nothing(&mut self) {
        self.free = Default::default();
    }

    /// Records that the lender does not know this bridge after all.
    pub(super) fn forget(&mut self, fingerprint: Fingerprint) {
        if let KnownBridges::These(bridges) = &mut self.bridges {
            Arc::make_mut(bridges).remove(&fingerprint);
        }
    }
}
