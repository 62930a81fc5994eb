//! The components of a broker, as the configuration and the files that it names
//! say, before it serves anybody.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::spawn_blocking;

use crate::broker::limits::Limits;
use crate::broker::{Broker, clock};
use crate::config::Config;
use crate::grpc::AdminAuth;
use crate::http::ReadMetricsLog;
use crate::listener::accounts::Bounds;
use crate::metrics::Metrics;

use super::certificates::{self, Certificates};
use super::federation::Peers;
use super::files::blame_configuration;
use super::locks::Locks;
use super::otel::Exports;
use super::persistence::{self, MetricsPersistence};
use super::{accounts, admin, federation, random, reload};

/// The parts of a broker.
pub(super) struct Components {
    pub(super) broker: Arc<Broker>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) certificates: Certificates,
    pub(super) persistence: MetricsPersistence,
    /// The reader of what `/metrics` serves, if it serves anything.
    pub(super) metrics_log: Option<ReadMetricsLog>,
    pub(super) exports: Exports,
    /// The check of who may call the administration.
    pub(super) admin_auth: Arc<AdminAuth>,
    pub(super) peers: Peers,
    pub(super) locks: Locks,
    /// The memory that peers may take.
    pub(super) bounds: Bounds,
}

impl Components {
    /// Reads and checks everything but what countries the databases tell. Files may
    /// be on a network that is slow, so they are read on a thread of their own.
    pub(super) async fn open(config: &Config) -> anyhow::Result<Self> {
        let start = clock::read();
        let metrics = Arc::new(Metrics::new(start.wall, persistence::random_key()?));
        let read = {
            let (config, metrics) = (config.clone(), Arc::clone(&metrics));
            move || {
                let known = reload::knowledge(&config)?;
                let (usable, mut warnings) = persistence::usable(&config.metrics);
                let access = admin::access::read(&config.admin)?;
                let peer_tls = federation::tls(&config.federation)?;
                let certificates = Certificates::open(&config, metrics)?;
                let bounds = accounts::bounds(&config);
                warnings.extend(known.warnings().map(str::to_owned));
                warnings.extend(certificates::warnings(&config, start.wall));
                warnings.extend(certificates::cache_warning(&config.acme));
                for warning in warnings {
                    tracing::warn!("{warning}");
                }
                Ok((known, usable, access, peer_tls, certificates, bounds))
            }
        };
        let read = spawn_blocking(read).await.context("reading failed")?;
        let (known, usable, (access, tls), peer_tls, certificates, bounds) =
            read.map_err(blame_configuration)?;
        let locks = Locks::take(config).await?;
        let persistence = MetricsPersistence::open(&usable, Arc::clone(&metrics), start)?;
        let exports = Exports::open(&config.otel)?;
        let matching = config.matching.clone();
        let broker = Broker::new(
            matching,
            known.knowledge,
            Arc::clone(&metrics),
            random::seed()?,
        );
        if !config.geoip.disable {
            metrics.await_countries();
        }
        let limits = Limits::new(config.limits.clone(), random::bytes()?.into());
        let peers = Peers::new(&metrics)?;
        let broker = broker
            .limited(limits)
            .traced(exports.tracer())
            .overflowing(Some(peers.federation()));
        peers.set(&broker, &config.federation, peer_tls);
        Ok(Self {
            broker: Arc::new(broker),
            admin_auth: Arc::new(AdminAuth::new(access, tls, Arc::clone(&metrics))),
            metrics,
            certificates,
            metrics_log: persistence::reader(&usable),
            persistence,
            exports,
            peers,
            locks,
            bounds,
        })
    }
}
