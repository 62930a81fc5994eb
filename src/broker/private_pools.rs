//! Private pools: brokers of their own beside the public one, each with clients and proxies of
//! its own, who reach it by a path with its token ([`token`]). What is one machine's, such as
//! the limits of an address and the countries, all brokers have in common; what somebody does
//! in one pool says nothing in another.

mod neighbours;
mod pool;
pub mod settings;
pub mod token;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::bridges::BridgeList;
use crate::matching;
use crate::metrics::distinct_ips::WindowKey;
use crate::metrics::labels::PrivatePoolName;
use crate::metrics::{LabelledTypes, PrivatePoolFigures};
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;

use super::Broker;
use super::limits::{LimitKey, Limits};

pub use pool::PrivatePool;

use neighbours::SpareProxies;

use settings::PoolSettings;
use token::{PoolToken, PoolTokenDigest, TokenKey};

/// A private pool as it shall be.
#[derive(Debug)]
pub struct PoolPlan {
    /// The settings.
    pub settings: PoolSettings,
    /// The tokens by which it is reached.
    pub tokens: Vec<PoolToken>,
    /// The bridges; `None` for those of the public broker.
    pub bridges: Option<BridgeList>,
    /// Random numbers, for a pool that is new.
    pub keys: PoolKeys,
    /// True if the configuration has the pool, false if the administration created it.
    pub is_configured: bool,
}

/// The random numbers that a broker needs.
#[derive(Clone, Debug)]
pub struct PoolKeys {
    /// The key of the sketches of proxies' addresses.
    pub window: WindowKey,
    /// The seed of the jitter of poll intervals.
    pub jitter_seed: u64,
    /// The key of the sources of proxies.
    pub sharing: LimitKey,
    /// The key of the clients and sources whose outcomes are learnt from.
    pub learning: LimitKey,
}

/// All private pools.
#[derive(Debug)]
pub struct PrivatePools {
    key: TokenKey,
    types: LabelledTypes,
    limits: Arc<Limits>,
    public: OnceLock<Weak<Broker>>,
    table: ArcSwap<PoolTable>,
    /// Notified when there are other pools.
    changed: Notify,
    /// Notified when a pool may have a proxy to spare.
    spared: Notify,
    /// Notified when a pool may have other proxies.
    supply_changed: Notify,
}

#[derive(Debug, Default)]
struct PoolTable {
    by_name: BTreeMap<PrivatePoolName, Arc<PrivatePool>>,
    by_token: HashMap<PoolTokenDigest, Arc<PrivatePool>>,
    /// The number of pools so far.
    created: u64,
}

impl PrivatePools {
    /// None yet. `key` is random; `limits` are those of the public broker.
    pub fn new(key: TokenKey, types: LabelledTypes, limits: Arc<Limits>) -> Self {
        Self {
            key,
            types,
            limits,
            public: OnceLock::new(),
            table: ArcSwap::default(),
            changed: Notify::new(),
            spared: Notify::new(),
            supply_changed: Notify::new(),
        }
    }

    /// Names the public broker. To be called before [`Self::set`].
    pub fn stand_beside(&self, public: &Arc<Broker>) {
        drop(self.public.set(Arc::downgrade(public)));
    }

    /// Replaces the pools. Those whose name stays go on, and the others are let go: their
    /// tokens are unknown at once. Returns the names of these.
    pub fn set(&self, plans: Vec<PoolPlan>) -> Vec<PrivatePoolName> {
        let Some(public) = self.public.get().and_then(Weak::upgrade) else {
            return Vec::new();
        };
        let before = self.table.load();
        let mut table = PoolTable {
            created: before.created,
            ..PoolTable::default()
        };
        for plan in plans {
            let name = PrivatePoolName::from(&*plan.settings.name);
            let tokens: Vec<_> = plan
                .tokens
                .iter()
                .map(|token| self.key.digest_of(token))
                .collect();
            let known = before.by_name.get(&name).cloned();
            let pool = known.unwrap_or_else(|| {
                table.created += 1;
                let (types, limits) = (self.types.clone(), Arc::clone(&self.limits));
                let id = table.created;
                Arc::new(PrivatePool::new(id, &plan, &public, types, limits))
            });
            pool.update(plan, &public);
            table
                .by_token
                .extend(tokens.into_iter().map(|token| (token, Arc::clone(&pool))));
            table.by_name.insert(name, pool);
        }
        let mut let_go = Vec::new();
        for (name, pool) in &before.by_name {
            if !table.by_name.contains_key(name) {
                pool.is_revoked.cancel();
                let_go.push(name.clone());
            }
        }
        self.table.store(Arc::new(table));
        self.changed.notify_waiters();
        let_go
    }

    /// The pool with this token, unless it has ended.
    pub fn find(&self, token: &str, now: SystemTime) -> Option<Arc<PrivatePool>> {
        let digest = self.key.digest(token);
        let table = self.table.load();
        let pool = table.by_token.get(&digest)?;
        pool.unless_ended(now)
    }

    /// The pool of this name, unless it has ended.
    pub fn named(&self, name: &PrivatePoolName, now: SystemTime) -> Option<Arc<PrivatePool>> {
        let table = self.table.load();
        let pool = table.by_name.get(name)?;
        pool.unless_ended(now)
    }

    /// All pools, by name.
    pub fn all(&self) -> Vec<Arc<PrivatePool>> {
        self.table.load().by_name.values().cloned().collect()
    }

    /// The pools with such a proxy to spare, each with its reserve.
    fn sparing(&self, class: NatClass, fingerprint: Fingerprint) -> Vec<(Arc<PrivatePool>, usize)> {
        let table = self.table.load();
        let pools = table.by_name.values();
        let able = pools.filter_map(|pool| {
            let reserve = pool.can_spare(class, fingerprint)?;
            Some((Arc::clone(pool), reserve))
        });
        able.collect()
    }

    /// Returns true if there still is a pool with this number.
    pub fn has(&self, id: u64) -> bool {
        let table = self.table.load();
        table.by_name.values().any(|pool| pool.id == id)
    }

    /// Runs the timers of all pools. Never returns.
    pub async fn drive(&self) {
        let mut driven = FuturesUnordered::new();
        let mut known = BTreeSet::new();
        loop {
            let changed = self.changed.notified();
            for pool in self.all() {
                if known.insert(pool.id) {
                    driven.push(self.run(pool));
                }
            }
            tokio::select! {
                () = changed => {}
                Some(id) = driven.next() => {
                    known.remove(&id);
                }
            }
        }
    }

    /// Drives a pool until it is revoked, and then until its last client has its reply.
    async fn run(&self, pool: Arc<PrivatePool>) -> u64 {
        let ended = async {
            pool.is_revoked.cancelled().await;
            pool.broker.control().drain().await;
        };
        tokio::select! {
            () = pool.broker.drive() => {}
            () = self.watch_supply(&pool) => {}
            () = ended => {}
        }
        pool.id
    }

    /// Tells the public's clients when the pool has a proxy to spare, and a cluster of each
    /// change. Never returns.
    async fn watch_supply(&self, pool: &PrivatePool) {
        let mut told = None;
        loop {
            let changed = pool.broker.supply_changed();
            // There may be many who listen, and most steps change nothing.
            let supply = Some(pool.broker.supply_beyond(0));
            if supply != told {
                told = supply;
                self.supply_changed.notify_waiters();
            }
            let supply = pool
                .spare_beyond()
                .and_then(|reserve| pool.broker.supply_beyond(reserve));
            if supply.is_some_and(|supply| supply.iter().any(|&proxies| proxies > 0)) {
                self.spared.notify_waiters();
            }
            changed.await;
        }
    }

    /// The proxies of each pool that has any, for its clients at other nodes of a cluster.
    pub fn supplies(&self) -> Vec<(PrivatePoolName, [usize; NatClass::ALL.len()])> {
        self.supplies_of(self.table.load().by_name.keys())
    }

    /// The same of the pools with these names.
    pub fn supplies_of<'a>(
        &self,
        names: impl Iterator<Item = &'a PrivatePoolName>,
    ) -> Vec<(PrivatePoolName, [usize; NatClass::ALL.len()])> {
        let table = self.table.load();
        let supplies = names.filter_map(|name| {
            let supply = table.by_name.get(name)?.broker.supply_beyond(0)?;
            let has_any = supply.iter().any(|&proxies| proxies > 0);
            has_any.then(|| (name.clone(), supply))
        });
        supplies.collect()
    }

    /// Completes when the result of [`Self::supplies`] may have changed since this call.
    pub fn supply_changed(&self) -> Notified<'_> {
        self.supply_changed.notified()
    }

    /// The state of all pools for metrics.
    pub fn figures(&self) -> Vec<PrivatePoolFigures> {
        self.all().iter().map(|pool| pool.figures()).collect()
    }
}

impl Broker {
    /// Adds private pools, whose spare proxies are asked for before peers are.
    #[must_use]
    pub fn beside(mut self, pools: Arc<PrivatePools>) -> Self {
        use super::overflow::{InTurn, Overflow};
        let spare: Arc<dyn Overflow> = Arc::new(SpareProxies(Arc::clone(&pools)));
        let all = [Some(spare), self.overflow.take()];
        self.overflow = Some(Arc::new(InTurn(all.into_iter().flatten().collect())));
        self.private_pools = Some(pools);
        self
    }

    /// The private pools beside this broker.
    pub fn private_pools(&self) -> Option<&Arc<PrivatePools>> {
        self.private_pools.as_ref()
    }

    /// Returns true if a proxy for such a client is idle beyond a reserve.
    pub(super) fn can_spare(
        &self,
        reserve: usize,
        class: NatClass,
        fingerprint: Fingerprint,
    ) -> bool {
        let pools = matching::pools_for(class);
        let supply = self.supply_beyond(reserve);
        supply.is_some_and(|supply| pools.iter().any(|&pool| supply[pool as usize] > 0))
            && self.choose_relay(&self.directory(), fingerprint).is_ok()
    }
}
