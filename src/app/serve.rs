//! The server: starting, running and stopping everything that a broker consists of.
//!
//! The start does everything that can fail before it serves. The components read all
//! files; then the sockets are opened; then requests are served; then the background
//! tasks start; and last come the ways of changing the broker: reloads, peers and the
//! administration. The stop goes the other way: clients and proxies first, then the
//! administration and the peers, then the counts and the exports, then all remaining
//! tasks.
//!
//! Everything depends on one tree of cancellation tokens. The [`Supervisor`]'s token is
//! the root and ends every task; parts that end earlier have child tokens.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{interval, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::broker::{Broker, clock};
use crate::cluster::Cluster;
use crate::config::{Config, Inputs, Loaded};
use crate::http::{self, Endpoints, ReadMetricsLog};
use crate::listener::accounts::{Accounts, Bounds};
use crate::listener::{self, Closing, ClosingStage, Server};
use crate::metrics::Metrics;
use crate::telemetry;
use crate::telemetry::{LogControl, SETTINGS};

use super::accounts;
use super::admin::{Admin, Administration};
use super::announcement::Announcement;
use super::bridge_prober::BridgeProber;
use super::certificates;
use super::cluster::ClusterHandle;
use super::components::Components;
use super::lifecycle::{ServerTasks, ShutdownOutcome, ShutdownTimeouts, SignalAction, Signals};
use super::locks::Locks;
use super::log_style;
use super::open_sockets::OpenSockets;
use super::operator_port::OperatorPort;
use super::otel::Exports;
use super::private_pools;
use super::process_metrics::{self, Connections};
use super::queues::Queues;
use super::reload::{self, ReloadTargets, Reloads};
use super::shared_changes;
use super::supervisor::Supervisor;
use super::systemd::{self, sockets::Sockets};

/// The additional time at shutdown for a slow disk to store the last counts, and for slow
/// collectors to accept the last traces and metrics.
const SAVING_PATIENCE: Duration = Duration::from_millis(500);

/// The interval of reports about log lines that were suppressed.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Runs a broker until it is told to stop.
pub(crate) fn serve(inputs: Inputs, loaded: Loaded) -> anyhow::Result<()> {
    let sockets = Sockets::inherit()?;
    let (log, _last_lines) =
        telemetry::init(&loaded.config.telemetry, log_style::detect(), clock::now)?;
    for warning in &loaded.warnings {
        tracing::warn!(target: SETTINGS, "{warning}");
    }
    accounts::raise_file_limit();
    let runtime = Runtime::new().context("cannot start threads")?;
    let served = runtime.block_on(run(inputs, loaded, log, sockets));
    telemetry::report_all_suppressed();
    // Connections that did not end in time do not delay the exit.
    runtime.shutdown_background();
    served
}

async fn run(
    inputs: Inputs,
    loaded: Loaded,
    log: LogControl,
    sockets: Sockets,
) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("cannot handle signals")?;
    // A blocked file must not prevent a stop.
    let components = tokio::select! {
        components = Components::open(&loaded) => components?,
        () = signals.stop() => return Ok(()),
    };
    let mut started = RunningServer::start(components, inputs, loaded, log, sockets).await?;
    systemd::ready().await;
    let told = started.until_told_to_stop(&mut signals).await;
    match &told {
        Ok(()) => started.stop(&mut signals).await,
        Err(_) => started.abandon().await,
    }
    told
}

/// A running server.
struct RunningServer {
    tasks: ServerTasks,
    supervisor: Supervisor,
    reloads: Reloads,
    admin: Admin,
    exports: Exports,
    persistence: JoinHandle<()>,
    close_persistence: CancellationToken,
    close_federation: Closing,
    cluster: Option<Arc<Cluster>>,
    operator_port: OperatorPort,
    /// Cancelled when the program is told to stop.
    stopping: CancellationToken,
    /// Held until everything is saved.
    _locks: Locks,
}

impl RunningServer {
    /// Opens the sockets and begins to serve.
    async fn start(
        components: Components,
        inputs: Inputs,
        loaded: Loaded,
        log: LogControl,
        sockets: Sockets,
    ) -> anyhow::Result<Self> {
        let Components {
            broker,
            metrics,
            certificates,
            persistence,
            metrics_log,
            mut exports,
            admin_auth,
            peers,
            cluster,
            prober,
            locks,
            bounds,
            files,
        } = components;
        let config = &loaded.config;
        let supervisor = Supervisor::default();
        let closing = Closing::default();
        let tls = certificates.tls()?;
        let accounts = Accounts::new(bounds);
        let endpoints = endpoints(config, &broker, &accounts, metrics_log);
        let server = Arc::new(Server::new(
            accounts::listener(config),
            tls,
            endpoints.clone(),
            Arc::new(Connections::new(Arc::clone(&metrics))),
            accounts,
            closing.clone(),
        ));
        reload::set_limits(config, &broker, &server);

        let opened = OpenSockets::open(config, sockets).await?;
        let announcement = Announcement::of(&opened);

        let has_inherited_sockets = opened.has_inherited_http;
        let servers = serve_on(opened.http, &server, &supervisor);
        let operator_port = OperatorPort::start(opened.operator, &endpoints, &supervisor);
        let probe = opened.probe;
        probe.serve(config, &certificates, &metrics, &server, &supervisor)?;
        let serve_challenges = challenge_server(config, bounds, &metrics, &closing, &supervisor);
        certificates
            .keep(config, opened.acme, serve_challenges, &supervisor)
            .await?;

        keep_going(&broker, &metrics, server.accounts(), &prober, &supervisor);
        exports.watch(&broker, supervisor.child_token());
        let queues = Queues::start(&config.sqs, &broker);
        let close_persistence = supervisor.child_token();
        let persistence =
            supervisor.watch("persistence", persistence.run(close_persistence.clone()));

        let shared = cluster.as_ref().and_then(ClusterHandle::shared);
        let targets = ReloadTargets {
            broker: Arc::clone(&broker),
            certificates,
            server: Arc::clone(&server),
            endpoints,
            log: log.clone(),
            admin_auth: Arc::clone(&admin_auth),
            peers: peers.clone(),
            prober: prober.clone(),
            cluster: shared.clone(),
        };
        let window = config.metrics.metrics_interval;
        let expiry = metrics.certificate_expiry();
        announcement.log(&inputs, config, &broker.directory(), expiry);
        let reloads = Reloads::start(inputs, loaded, files, targets, &supervisor);
        keep_reporting(&reloads, &supervisor);
        let close_federation = Closing::default();
        peers.start(&broker, opened.peers, close_federation.clone(), &supervisor);
        let cluster = start_cluster(cluster, &broker, window, &supervisor).await?;
        let stopping = supervisor.child_token();
        let administration = Administration::new(&broker, server, &reloads, log, &stopping);
        let administration = Arc::new(administration.in_cluster(shared.clone()));
        shared_changes::start(shared, &broker, &administration, &reloads, &supervisor);
        let admin = Admin::start(
            opened.admin,
            &admin_auth,
            &broker,
            administration,
            &supervisor,
        )?;
        Ok(Self {
            tasks: ServerTasks {
                broker,
                closing,
                queues,
                servers,
                has_inherited_sockets,
            },
            supervisor,
            reloads,
            admin,
            exports,
            persistence: tokio::spawn(persistence),
            close_persistence,
            close_federation,
            cluster,
            operator_port,
            stopping,
            _locks: locks,
        })
    }

    /// Reloads as often as requested, until told to stop. Returns an error if an
    /// essential task has ended.
    async fn until_told_to_stop(&mut self, signals: &mut Signals) -> anyhow::Result<()> {
        let told = async {
            while signals.next().await == SignalAction::Reload {
                // A blocked file, for example on a network that is down, must not prevent
                // a stop.
                tokio::select! {
                    _logged = self.reloads.reload() => {}
                    () = signals.stop() => return,
                }
            }
        };
        tokio::select! {
            () = told => Ok(()),
            name = self.supervisor.failed() => bail!("{name} has ended unexpectedly, and the broker cannot go on without it"),
        }
    }

    /// Saves what must be saved, without serving any longer.
    async fn abandon(self) {
        self.close_persistence.cancel();
        if timeout(SAVING_PATIENCE, self.persistence).await.is_err() {
            tracing::warn!("stopped before the counts were saved");
        }
    }

    /// Shuts down gracefully, and saves what must be saved.
    async fn stop(self, signals: &mut Signals) {
        tracing::info!("stopping");
        self.stopping.cancel();
        tokio::spawn(systemd::stopping());
        let timeouts = ShutdownTimeouts::of(&self.reloads.loaded().config.matching);
        let deadline = clock::now() + timeouts.total() + SAVING_PATIENCE;
        let ending = self.tasks.stop(signals, timeouts).await;
        if let Some(cluster) = &self.cluster {
            cluster.leave();
        }
        self.admin.close();
        self.close_federation.advance(ClosingStage::Closing);
        self.close_persistence.cancel();
        let export_patience = match ending {
            ShutdownOutcome::AtOnce => SAVING_PATIENCE,
            ShutdownOutcome::InTime | ShutdownOutcome::Late => {
                deadline.saturating_duration_since(clock::now())
            }
        };
        let (persistence, (), ()) = tokio::join!(
            timeout_at(deadline.into(), self.persistence),
            signals.unless_stopped(self.exports.close(export_patience)),
            self.operator_port.close(),
        );
        if persistence.is_err() {
            tracing::warn!("stopped before the counts were saved");
        }
        if let Some(cluster) = &self.cluster {
            cluster.give_back_lease().await;
        }
        self.supervisor.stop().await;
    }
}

/// Begins to take part in the cluster, if there is one.
async fn start_cluster(
    cluster: Option<ClusterHandle>,
    broker: &Arc<Broker>,
    window: Duration,
    supervisor: &Supervisor,
) -> anyhow::Result<Option<Arc<Cluster>>> {
    match cluster {
        Some(cluster) => cluster.start(broker, window, supervisor).await.map(Some),
        None => Ok(None),
    }
}

/// Starts the reports of certificates.
fn keep_reporting(reloads: &Reloads, supervisor: &Supervisor) {
    let reports = report_certificates(reloads.clone());
    supervisor.keep("the report of certificates", reports);
}

/// Reports once a day which certificates have expired or will soon. Never returns.
async fn report_certificates(reloads: Reloads) {
    let tell = |warning: &str| tracing::warn!(target: SETTINGS, "{warning}");
    certificates::remind(|| reloads.loaded(), tell).await;
}

/// Reports suppressed log lines in time. Never returns.
async fn report_suppressed() {
    let mut ticks = interval(REPORT_INTERVAL);
    loop {
        ticks.tick().await;
        telemetry::report_suppressed(clock::now());
    }
}

/// Starts the tasks without which the broker would stall or be unobservable.
fn keep_going(
    broker: &Arc<Broker>,
    metrics: &Arc<Metrics>,
    accounts: &Arc<Accounts>,
    prober: &BridgeProber,
    supervisor: &Supervisor,
) {
    prober.start(broker, supervisor);
    let driven = Arc::clone(broker);
    supervisor.keep("the driver", async move { driven.drive().await });
    private_pools::drive(broker, supervisor);
    let sample = process_metrics::sample(Arc::clone(metrics), Arc::clone(accounts));
    supervisor.keep("the sampler of metrics", sample);
    supervisor.keep("the report of suppressed lines", report_suppressed());
    supervisor.spawn(systemd::report_heartbeat(Arc::clone(broker)));
}

fn serve_on(
    listeners: Vec<TcpListener>,
    server: &Arc<Server<Endpoints>>,
    supervisor: &Supervisor,
) -> JoinSet<()> {
    let mut servers = JoinSet::new();
    for listener in listeners {
        servers.spawn(supervisor.watch("the listener", Arc::clone(server).run(listener)));
    }
    servers
}

fn endpoints(
    config: &Config,
    broker: &Arc<Broker>,
    accounts: &Arc<Accounts>,
    metrics_log: Option<ReadMetricsLog>,
) -> Endpoints {
    let sources = http::Sources {
        accounts: Arc::clone(accounts),
        metrics_log,
        process_figures: process_metrics::process_figures,
    };
    let endpoints = http::router(Arc::clone(broker), config.http.clone(), sources);
    endpoints.set_operator_networks(config.operator.networks.clone());
    endpoints.showing_status(&config.status)
}

/// The server for plain HTTP challenges of a certificate authority.
fn challenge_server(
    config: &Config,
    bounds: Bounds,
    metrics: &Arc<Metrics>,
    closing: &Closing,
    supervisor: &Supervisor,
) -> impl Fn(Router, TcpListener) + use<> {
    let settings = listener::Settings {
        // The authority connects directly.
        proxy_protocol: false,
        ..config.listener.clone()
    };
    let observer = Arc::new(Connections::new(Arc::clone(metrics)));
    let (closing, supervisor) = (closing.clone(), supervisor.clone());
    move |router, listener| {
        let server = Server::new(
            settings.clone(),
            None,
            router,
            observer.clone(),
            Accounts::new(bounds),
            closing.clone(),
        );
        supervisor.keep("the listener of challenges", Arc::new(server).run(listener));
    }
}
