//! A lender's reported supply, minus what we have borrowed since.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::matching::pools_for;
use crate::metrics::labels::PrivatePoolName;
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;

use super::Need;

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
    /// The same for each private pool that has any.
    pub private_pools: BTreeMap<PrivatePoolName, [usize; NatClass::ALL.len()]>,
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
    private_pools: BTreeMap<PrivatePoolName, [usize; NatClass::ALL.len()]>,
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
            private_pools: report.private_pools,
            is_draining: report.is_draining,
            bridges: report.bridges.unwrap_or(known),
        }
    }

    /// The number of proxies for such a client; 0 if the report is too old.
    pub(super) fn free_for(&self, now: Instant, need: &Need) -> usize {
        let free = match &need.private_pool {
            None => Some(&self.free),
            Some(name) => self.private_pools.get(name),
        };
        let free = free.filter(|_| self.counts(now));
        let pools = pools_for(need.class).iter();
        free.map_or(0, |free| {
            let of_pools = pools.map(|&pool| free[pool as usize]);
            of_pools.fold(0, usize::saturating_add)
        })
    }

    /// The number of everybody's proxies per pool.
    pub(super) fn free(&self, now: Instant) -> [usize; NatClass::ALL.len()] {
        if self.counts(now) {
            self.free
        } else {
            Default::default()
        }
    }

    fn counts(&self, now: Instant) -> bool {
        !self.is_draining && self.age(now) <= self.fresh_for
    }

    fn free_mut(&mut self, need: &Need) -> Option<&mut [usize; NatClass::ALL.len()]> {
        match &need.private_pool {
            None => Some(&mut self.free),
            Some(name) => self.private_pools.get_mut(name),
        }
    }

    /// A private pool may have bridges of its own, of which nothing is reported.
    pub(super) fn knows(&self, need: &Need) -> bool {
        match &self.bridges {
            KnownBridges::Ours => true,
            KnownBridges::These(_) if need.private_pool.is_some() => true,
            KnownBridges::These(bridges) => bridges.contains(&need.fingerprint),
        }
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Subtracts a proxy for such an offer, from the pool that the lender tries first. The
    /// next report corrects it.
    pub(super) fn take(&mut self, need: &Need) {
        let Some(free) = self.free_mut(need) else {
            return;
        };
        let mut pools = pools_for(need.class).iter();
        let pool = pools.find(|&&pool| free[pool as usize] > 0);
        if let Some(&pool) = pool {
            free[pool as usize] -= 1;
        }
    }

    /// Records that the lender has no proxy for such an offer after all.
    pub(super) fn has_none_for(&mut self, need: &Need) {
        if let Some(free) = self.free_mut(need) {
            for &pool in pools_for(need.class) {
                free[pool as usize] = 0;
            }
        }
    }

    /// Records that the lender accepts nothing until its next report.
    pub(super) fn has_nothing(&mut self) {
        self.free = Default::default();
        self.private_pools.clear();
    }

    /// Records that the lender does not know the bridge after all.
    pub(super) fn lacks_bridge(&mut self, need: &Need) {
        if need.private_pool.is_some() {
            self.has_none_for(need);
        } else if let KnownBridges::These(bridges) = &mut self.bridges {
            Arc::make_mut(bridges).remove(&need.fingerprint);
        }
    }
}
