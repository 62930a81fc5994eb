//! The components of a broker, built from the configuration and the files named there,
//! before the broker serves.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use rustls::{ClientConfig, ServerConfig};
use tokio::task::spawn_blocking;

use crate::broker::limits::Limits;
use crate::broker::private_pools::PoolPlan;
use crate::broker::{Broker, clock};
use crate::causes::with_causes;
use crate::config::Loaded;
use crate::grpc::AdminAuth;
use crate::grpc::auth::Access;
use crate::http::ReadMetricsLog;
use crate::listener::accounts::Bounds;
use crate::metrics::{self, Metrics};
use crate::telemetry::SETTINGS;

use super::bridge_prober::{self, BridgeProber};
use super::certificates::{self, Certificates};
use super::cluster::{self, ClusterFiles, ClusterHandle};
use super::federation::FederationHandle;
use super::files::blame_configuration;
use super::locks::Locks;
use super::otel::Exports;
use super::persistence::{self, MetricsPersistence};
use super::reload::{FileContents, Known};
use super::{
    accounts, admin, entropy, exposed, federation, nat_probe, private_pools, queues, reload,
};

/// The configuration and the files named there, read and checked.
pub(super) struct Readings {
    known: Known,
    /// The usable part of the settings.
    metrics: metrics::Settings,
    access: (Access, Option<ServerConfig>),
    peer_tls: Option<federation::Tls>,
    probe_tls: Option<ClientConfig>,
    cluster: Option<ClusterFiles>,
    pools: Vec<PoolPlan>,
    exports: Exports,
    files: FileContents,
}

/// Reads and checks all files, directories and URLs named in the configuration, for a
/// start and for `check-config`: all except the country databases, for which a start does
/// not wait, and the listening addresses. Returns warnings, too. Changes nothing, and
/// must be called in a runtime.
///
/// # Errors
/// Returns a line for each invalid component.
pub(super) fn read(loaded: &Loaded) -> (Vec<String>, anyhow::Result<Readings>) {
    let config = &loaded.config;
    let mut warnings: Vec<String> = accounts::warning(config).into_iter().collect();
    warnings.extend(exposed::warnings(loaded));
    warnings.extend(certificates::warnings(config, clock::wall_clock()));
    warnings.extend(certificates::cache_warning(&config.acme));
    warnings.extend(nat_probe::warning(&config.probe));
    warnings.extend(private_pools::warnings(&config.pools, clock::wall_clock()));
    let (metrics, doubts) = persistence::usable(&config.metrics);
    warnings.extend(doubts);
    let exports = Exports::open(&config.otel, &mut warnings);
    let known = reload::directory(config);
    if let Ok(known) = &known {
        warnings.extend(known.warnings().map(str::to_owned));
    }

    let mut wrong = Vec::new();
    let certificates = certificates::check_files(config);
    keep(certificates, &mut wrong);
    keep(certificates::check_cache(&config.acme), &mut wrong);
    let known = keep(known.map_err(Into::into), &mut wrong);
    let access = keep(admin::access::read(&config.admin), &mut wrong);
    let peer_tls = keep(federation::tls(&config.federation), &mut wrong);
    let probe_tls = keep(bridge_prober::tls(&config.bridges), &mut wrong);
    let cluster = keep(cluster::read(&config.cluster), &mut wrong);
    let pools = keep(private_pools::read(config), &mut wrong);
    keep(queues::check(&config.sqs), &mut wrong);
    keep(nat_probe::check(&config.probe), &mut wrong);
    let exports = keep(exports, &mut wrong);
    let readings = match (known, access, peer_tls, probe_tls, cluster, pools, exports) {
        (
            Some(known),
            Some(access),
            Some(peer_tls),
            Some(probe_tls),
            Some(cluster),
            Some(pools),
            Some(exports),
        ) if wrong.is_empty() => Ok(Readings {
            known,
            metrics,
            access,
            peer_tls,
            probe_tls,
            cluster,
            pools,
            exports,
            files: FileContents::read(config),
        }),
        _ => Err(blame_configuration(anyhow!(wrong.join("\n")))),
    };
    (warnings, readings)
}

/// The value, or else a line added to `wrong`.
fn keep<T>(read: anyhow::Result<T>, wrong: &mut Vec<String>) -> Option<T> {
    read.map_err(|error| wrong.push(with_causes(error.as_ref())))
        .ok()
}

/// The components of a broker.
pub(super) struct Components {
    pub(super) broker: Arc<Broker>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) certificates: Certificates,
    pub(super) persistence: MetricsPersistence,
    /// The reader of the log that `/metrics` serves, if there is one.
    pub(super) metrics_log: Option<ReadMetricsLog>,
    pub(super) exports: Exports,
    /// The authentication of the administration's callers.
    pub(super) admin_auth: Arc<AdminAuth>,
    pub(super) peers: FederationHandle,
    pub(super) cluster: Option<ClusterHandle>,
    pub(super) prober: BridgeProber,
    pub(super) locks: Locks,
    /// The memory that peers may use.
    pub(super) bounds: Bounds,
    /// The files as they were read, for a reload to compare.
    pub(super) files: FileContents,
}

impl Components {
    /// Builds the components from the result of [`read`]. Files may be on a slow network,
    /// so they are read on a separate thread.
    pub(super) async fn open(loaded: &Loaded) -> anyhow::Result<Self> {
        let config = &loaded.config;
        let start = clock::read();
        let (key, types) = (persistence::random_key()?, config.metrics.types());
        let metrics = Arc::new(Metrics::labelled(start.wall, key, types.clone()));
        let opened = {
            let (loaded, metrics) = (loaded.clone(), Arc::clone(&metrics));
            move || {
                let (warnings, readings) = read(&loaded);
                for warning in warnings {
                    tracing::warn!(target: SETTINGS, "{warning}");
                }
                let readings = readings?;
                let certificates =
                    Certificates::open(&loaded.config, metrics).map_err(blame_configuration)?;
                Ok::<_, anyhow::Error>((readings, certificates, accounts::bounds(&loaded.config)))
            }
        };
        let opened = spawn_blocking(opened)
            .await
            .context("cannot read the files")?;
        let (readings, certificates, bounds) = opened?;
        let Readings {
            known,
            metrics: usable,
            access: (access, tls),
            peer_tls,
            probe_tls,
            cluster,
            pools,
            exports,
            files,
        } = readings;
        let locks = Locks::take(config).await?;
        let persistence = MetricsPersistence::open(&usable, Arc::clone(&metrics), start)?;
        let matching = config.matching.clone();
        let broker = Broker::new(
            matching,
            known.directory,
            Arc::clone(&metrics),
            entropy::seed()?,
        );
        if !config.geoip.disable {
            metrics.await_countries();
        }
        let limits = Limits::new(config.limits.clone(), entropy::bytes()?.into());
        let limits = Arc::new(limits);
        let private_pools = private_pools::none_yet(types, &limits)?;
        let peers = FederationHandle::new(&metrics)?;
        let cluster = cluster.map(|files| ClusterHandle::new(&config.cluster, files, &metrics));
        let cluster = cluster.transpose()?;
        let broker = match &cluster {
            Some(cluster) => cluster.join(broker, peers.federation().peers()),
            None => broker.overflowing(Some(peers.federation().peers())),
        };
        let broker = broker
            .limited(limits)
            .sharing(config.supply.clone(), entropy::bytes()?.into())
            .learning(config.outcomes.clone(), entropy::bytes()?.into())
            .traced(exports.tracer())
            .beside(private_pools);
        let broker = if config.status.is_on() {
            broker.remembering_proxies(entropy::bytes()?.into())
        } else {
            broker
        };
        peers.set(&broker, &config.federation, peer_tls);
        let broker = Arc::new(broker);
        private_pools::open(&broker, pools);
        let shared = cluster.as_ref().and_then(ClusterHandle::shared);
        let persistence = persistence.with_outcomes(&broker).sharing(shared);
        Ok(Self {
            broker,
            admin_auth: Arc::new(AdminAuth::new(access, tls, Arc::clone(&metrics))),
            metrics,
            certificates,
            metrics_log: persistence::reader(&usable),
            persistence,
            exports,
            peers,
            cluster,
            prober: BridgeProber::new(&config.bridges, probe_tls),
            locks,
            bounds,
            files,
        })
    }
}
