//! One private pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::bridges::BridgeList;
use crate::broker::limits::Limits;
use crate::broker::overflow::{InTurn, Overflow};
use crate::broker::rate::EventRate;
use crate::broker::{Broker, Directory, clock};
use crate::matching::{self, ServiceStage, SupplySettings};
use crate::metrics::labels::PrivatePoolName;
use crate::metrics::{LabelledTypes, Metrics, PrivatePoolFigures};
use crate::outcomes;
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;
use crate::wire::relay_pattern::RelayPattern;

use super::neighbours::PublicProxies;
use super::settings::{PoolSettings, ToPublic};
use super::{PoolKeys, PoolPlan};

/// The maximum number of clients, sources and networks of clients that a pool knows.
const TABLE_MAX: usize = 10_000;

/// A private pool.
#[derive(Debug)]
pub struct PrivatePool {
    /// A number that no other pool had since the start.
    pub id: u64,
    /// The name.
    pub name: PrivatePoolName,
    /// The pool's broker.
    pub broker: Arc<Broker>,
    pub(super) settings: Arc<ArcSwap<PoolSettings>>,
    bridges: ArcSwap<Option<BridgeList>>,
    is_configured: AtomicBool,
    pub(super) is_revoked: CancellationToken,
}

impl PrivatePool {
    /// A new pool beside a public broker, whose limits it has.
    pub(super) fn new(
        id: u64,
        plan: &PoolPlan,
        public: &Arc<Broker>,
        types: LabelledTypes,
        limits: Arc<Limits>,
    ) -> Self {
        let PoolKeys {
            window,
            jitter_seed,
            sharing,
            learning,
        } = plan.keys.clone();
        let metrics = Metrics::labelled(clock::wall_clock(), window, types);
        let settings = Arc::new(ArcSwap::from_pointee(plan.settings.clone()));
        let name = PrivatePoolName::from(&*plan.settings.name);
        let neighbour: Arc<dyn Overflow> = Arc::new(PublicProxies {
            settings: Arc::clone(&settings),
            public: Arc::downgrade(public),
        });
        let elsewhere = public.overflow.as_ref();
        let elsewhere = elsewhere.and_then(|brokers| brokers.for_private_pool(&name));
        let in_turn = InTurn(elsewhere.into_iter().chain([neighbour]).collect());
        let control = public.control();
        let broker = Broker::new(
            control.matching(),
            Directory::clone(&public.directory()),
            Arc::new(metrics),
            jitter_seed,
        );
        let broker = broker
            .limited(limits)
            .sharing(bounded_supply(control.supply()), sharing)
            .learning(bounded_outcomes(control.outcomes()), learning)
            .overflowing(Some(Arc::new(in_turn)))
            .in_cluster_of(public, &name);
        match public.stage() {
            ServiceStage::Serving => {}
            ServiceStage::LameDuck => broker.control().start_lame_duck(),
            ServiceStage::Draining => broker.control().start_draining(),
        }
        Self {
            id,
            name,
            broker: Arc::new(broker),
            settings,
            bridges: ArcSwap::default(),
            is_configured: AtomicBool::new(plan.is_configured),
            is_revoked: CancellationToken::new(),
        }
    }

    pub(super) fn update(&self, plan: PoolPlan, public: &Broker) {
        let rate = EventRate::per_minute(plan.settings.clients_per_minute);
        let had = self.settings.swap(Arc::new(plan.settings));
        self.bridges.store(Arc::new(plan.bridges));
        self.is_configured
            .store(plan.is_configured, Ordering::Relaxed);
        let is_new_rate = had.clients_per_minute != self.settings.load().clients_per_minute;
        if is_new_rate || self.broker.client_quota.load().is_none() {
            self.broker.client_quota.store(Some(Arc::new(rate)));
        }
        self.follow(&public.directory());
        self.set_matching(&public.control().matching());
    }

    /// Takes over what the public broker has, but for what is the pool's own.
    pub(in crate::broker) fn follow(&self, public: &Directory) {
        let settings = self.settings.load();
        let own_bridges = Option::clone(&self.bridges.load());
        let allowed = settings.allowed_relay_pattern.as_deref();
        let allowed = allowed.map(RelayPattern::from);
        let default = settings.default_relay_pattern.as_deref();
        let default = default.map(RelayPattern::from);
        self.broker.control().set_directory(Directory {
            bridges: own_bridges.unwrap_or_else(|| public.bridges.clone()),
            allowed_relay_pattern: allowed.unwrap_or_else(|| public.allowed_relay_pattern.clone()),
            default_relay_pattern: default.or_else(|| public.default_relay_pattern.clone()),
            ..public.clone()
        });
    }

    pub(in crate::broker) fn set_supply(&self, public: SupplySettings) {
        self.broker.control().set_supply(bounded_supply(public));
    }

    pub(in crate::broker) fn set_outcomes(&self, public: outcomes::Settings) {
        self.broker.control().set_outcomes(bounded_outcomes(public));
    }

    pub(in crate::broker) fn set_matching(&self, public: &matching::Settings) {
        self.broker.control().set_matching(matching::Settings {
            max_parked_polls: self.settings.load().max_parked_polls,
            ..public.clone()
        });
    }

    pub(super) fn unless_ended(self: &Arc<Self>, now: SystemTime) -> Option<Arc<Self>> {
        let has_ended = self.settings.load().has_ended(now);
        (!has_ended).then(|| Arc::clone(self))
    }

    /// The settings.
    pub fn settings(&self) -> Arc<PoolSettings> {
        self.settings.load_full()
    }

    /// The reserve if such a proxy can be spared.
    pub(super) fn can_spare(&self, class: NatClass, fingerprint: Fingerprint) -> Option<usize> {
        let reserve = self.spare_beyond()?;
        let is_able = self.broker.can_spare(reserve, class, fingerprint);
        is_able.then_some(reserve)
    }

    /// The reserve beyond which proxies are spared for everybody; `None` if none is.
    pub(super) fn spare_beyond(&self) -> Option<usize> {
        let settings = self.settings.load();
        (settings.spare == ToPublic::ToPublic).then_some(settings.reserve)
    }

    /// Returns true if the configuration has the pool.
    pub fn is_configured(&self) -> bool {
        self.is_configured.load(Ordering::Relaxed)
    }

    /// The state for metrics.
    pub fn figures(&self) -> PrivatePoolFigures {
        let snapshot = self.broker.control().snapshot();
        PrivatePoolFigures {
            name: self.name.clone(),
            parked: snapshot.parked.iter().map(|(.., count)| count).sum(),
            queued: snapshot.queued_clients,
            totals: self.broker.metrics().totals(),
        }
    }
}

/// There may be many pools, so each has smaller tables.
fn bounded_supply(mut public: SupplySettings) -> SupplySettings {
    public.max_client_networks = public.max_client_networks.min(TABLE_MAX);
    public
}

fn bounded_outcomes(mut public: outcomes::Settings) -> outcomes::Settings {
    public.max_clients = public.max_clients.min(TABLE_MAX);
    public.max_sources = public.max_sources.min(TABLE_MAX);
    public
}
