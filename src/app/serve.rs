//! Everything a broker is made of, put together and run.

use std::env;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
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
use crate::config::{Config, Inputs, Loaded};
use crate::http::{self, Endpoints, ReadMetricsLog};
use crate::listener::accounts::{Accounts, Bounds};
use crate::listener::{self, Closing, ClosingStage, Server};
use crate::metrics::Metrics;
use crate::telemetry;
use crate::telemetry::{LogControl, LogStyle};

use super::accounts;
use super::admin::{self, Admin, Administration};
use super::certificates;
use super::components::Components;
use super::federation;
use super::lifecycle::{ServerTasks, ShutdownOutcome, ShutdownTimeouts, SignalAction, Signals};
use super::listen::cannot_listen;
use super::locks::Locks;
use super::operator_port::{self, OperatorPort};
use super::otel::Exports;
use super::process_metrics::{self, Connections};
use super::queues::Queues;
use super::reload::{self, ReloadTargets, Reloads};
use super::supervisor::Supervisor;
use super::systemd::{self, sockets, sockets::Sockets};

/// How much longer than for clients and proxies the broker waits for a disk that
/// is slow with the last counts, and for collectors that are slow with the last
/// traces and metrics.
const SAVING_PATIENCE: Duration = Duration::from_millis(500);

/// How often it is looked for lines that were left out of the log, and not told of.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Is a broker until it is told to stop.
pub(crate) fn serve(inputs: Inputs, loaded: Loaded) -> anyhow::Result<()> {
    let sockets = Sockets::inherit()?;
    let (log, _last_lines) = telemetry::init(&loaded.config.telemetry, log_style())?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    accounts::raise_file_limit();
    let runtime = Runtime::new().context("cannot start threads")?;
    let served = runtime.block_on(run(inputs, loaded, log, sockets));
    telemetry::report_all_suppressed();
    // A connection that did not end in its time does not keep us.
    runtime.shutdown_background();
    served
}

async fn run(
    inputs: Inputs,
    loaded: Loaded,
    log: LogControl,
    sockets: Sockets,
) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("cannot listen to signals")?;
    // A file that does not come must not keep us from stopping.
    let parts = tokio::select! {
        parts = Components::open(&loaded) => parts?,
        () = signals.stop() => return Ok(()),
    };
    let mut started = Started::start(parts, inputs, loaded, log, sockets).await?;
    systemd::ready().await;
    let told = started.until_told_to_stop(&mut signals).await;
    match &told {
        Ok(()) => started.stop(&mut signals).await,
        Err(_) => started.abandon().await,
    }
    told
}

/// A broker that serves.
struct Started {
    tasks: ServerTasks,
    supervisor: Supervisor,
    reloads: Reloads,
    admin: Admin,
    exports: Exports,
    persistence: JoinHandle<()>,
    close_persistence: CancellationToken,
    close_federation: Closing,
    operator_port: OperatorPort,
    /// Cancelled when the program is told to stop.
    stopping: CancellationToken,
    /// Kept until all is saved.
    _locks: Locks,
}

impl Started {
    /// Opens the sockets and serves from then on.
    async fn start(
        parts: Components,
        inputs: Inputs,
        loaded: Loaded,
        log: LogControl,
        mut sockets: Sockets,
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
            locks,
            bounds,
        } = parts;
        let config = &loaded.config;
        let supervisor = Supervisor::default();
        let closing = Closing::default();
        let tls = certificates.tls()?;
        let has_tls = tls.is_some();
        let serve_challenges = challenge_server(config, bounds, &metrics, &closing, &supervisor);
        let accounts = Accounts::new(bounds);
        let endpoints = endpoints(config, &broker, &accounts, metrics_log);
        let observer = Arc::new(Connections::new(Arc::clone(&metrics)));
        let settings = accounts::listener(config);
        let server = Server::new(
            settings,
            tls,
            endpoints.clone(),
            observer,
            accounts,
            closing.clone(),
        );
        let server = Arc::new(server);
        reload::set_limits(config, &broker, &server);
        sockets.warn_of_missing(config);
        let inherited = sockets.take(sockets::HTTP)?;
        let inherited_for_acme = sockets.take(sockets::ACME)?;
        let admin_sockets = admin::open(&config.admin, &mut sockets).await?;
        let peer_sockets = federation::open(&config.federation, &mut sockets).await?;
        let operator_sockets = operator_port::open(&config.operator, &mut sockets).await?;
        sockets.refuse_rest()?;
        let has_inherited_sockets = !inherited.is_empty();
        let servers = serve_on(
            listeners(config, inherited).await?,
            &server,
            has_tls,
            &supervisor,
        )?;
        let operator_port = OperatorPort::start(operator_sockets, &endpoints, &supervisor);
        let kept = certificates.keep(config, inherited_for_acme, serve_challenges, &supervisor);
        kept.await?;

        let driven = Arc::clone(&broker);
        supervisor.keep("the driver", async move { driven.drive().await });
        let sample = process_metrics::sample(Arc::clone(&metrics), Arc::clone(server.accounts()));
        supervisor.keep("the sampler of metrics", sample);
        supervisor.keep("the report of suppressed lines", report_suppressed());
        supervisor.spawn(systemd::report_heartbeat(Arc::clone(&broker)));
        exports.watch(&broker);
        let queues = Queues::start(&loaded.config.sqs, &broker);
        let close_persistence = CancellationToken::new();
        let persistence =
            supervisor.watch("persistence", persistence.run(close_persistence.clone()));
        let persistence = tokio::spawn(persistence);
        let targets = ReloadTargets {
            broker: Arc::clone(&broker),
            certificates,
            server: Arc::clone(&server),
            endpoints,
            log: log.clone(),
            admin_auth: Arc::clone(&admin_auth),
            peers: peers.clone(),
        };
        let reloads = Reloads::start(inputs, loaded, targets, &supervisor);
        let reports = report_certificates(reloads.clone());
        supervisor.keep("the report of certificates", reports);
        let close_federation = Closing::default();
        peers.start(&broker, peer_sockets, close_federation.clone(), &supervisor);
        let stopping = CancellationToken::new();
        let administration = Administration::new(
            Arc::clone(&broker),
            server,
            reloads.clone(),
            log,
            stopping.clone(),
        );
        Ok(Self {
            admin: Admin::start(
                admin_sockets,
                &admin_auth,
                &broker,
                administration,
                &supervisor,
            )?,
            supervisor,
            tasks: ServerTasks {
                broker,
                closing,
                queues,
                servers,
                has_inherited_sockets,
            },
            reloads,
            exports,
            persistence,
            close_persistence,
            close_federation,
            operator_port,
            stopping,
            _locks: locks,
        })
    }

    /// Reloads as often as it is told to, until it is told to stop. An error if a task
    /// has ended without which there is no broker.
    async fn until_told_to_stop(&mut self, signals: &mut Signals) -> anyhow::Result<()> {
        let told = async {
            while signals.next().await == SignalAction::Reload {
                // A file that does not come, from a network that is down, must not
                // keep us from stopping.
                tokio::select! {
                    _logged = self.reloads.reload() => {}
                    () = signals.stop() => return,
                }
            }
        };
        tokio::select! {
            () = told => Ok(()),
            name = self.supervisor.failed() => bail!("{name} has ended: there is no broker without it"),
        }
    }

    /// Saves what has to be saved, and serves nobody any more.
    async fn abandon(self) {
        self.close_persistence.cancel();
        if timeout(SAVING_PATIENCE, self.persistence).await.is_err() {
            tracing::warn!("stopped before the counts were saved");
        }
    }

    /// Lets everybody finish who can in time, and saves what has to be saved.
    async fn stop(self, signals: &mut Signals) {
        tracing::info!("stopping");
        self.stopping.cancel();
        tokio::spawn(systemd::stopping());
        let timeouts = ShutdownTimeouts::of(&self.reloads.loaded().config.matching);
        let deadline = clock::now() + timeouts.total() + SAVING_PATIENCE;
        let ending = self.tasks.stop(signals, timeouts).await;
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
        self.supervisor.stop().await;
    }
}

/// Tells once a day which certificates have expired, or will soon. Never returns.
async fn report_certificates(reloads: Reloads) {
    let tell = |warning: &str| tracing::warn!("{warning}");
    certificates::remind(|| reloads.loaded(), tell).await;
}

/// Says in time which lines were left out of the log. Never returns.
async fn report_suppressed() {
    let mut ticks = interval(REPORT_INTERVAL);
    loop {
        ticks.tick().await;
        telemetry::report_suppressed(clock::now());
    }
}

/// The sockets of the service manager, else our own.
async fn listeners(
    config: &Config,
    inherited: Vec<TcpListener>,
) -> anyhow::Result<Vec<TcpListener>> {
    if inherited.is_empty() {
        return bind(&config.listener.addr).await;
    }
    tracing::info!("listener.addr is not used: the service manager has passed the socket");
    Ok(inherited)
}

fn serve_on(
    listeners: Vec<TcpListener>,
    server: &Arc<Server<Endpoints>>,
    has_tls: bool,
    supervisor: &Supervisor,
) -> anyhow::Result<JoinSet<()>> {
    let mut servers = JoinSet::new();
    for listener in listeners {
        let port = listener.local_addr()?.port();
        tracing::info!(port, tls = has_tls, "brokering");
        servers.spawn(supervisor.watch("the listener", Arc::clone(server).run(listener)));
    }
    Ok(servers)
}

async fn bind(addr: &str) -> anyhow::Result<Vec<TcpListener>> {
    let listeners = listener::bind(addr).await;
    listeners.map_err(|error| cannot_listen("listener.addr", addr, &error))
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
    endpoints
}

/// Serves in the clear what a certificate authority looks at.
fn challenge_server(
    config: &Config,
    bounds: Bounds,
    metrics: &Arc<Metrics>,
    closing: &Closing,
    supervisor: &Supervisor,
) -> impl Fn(Router, TcpListener) + use<> {
    let settings = listener::Settings {
        // The authority comes by itself.
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

fn log_style() -> LogStyle {
    if env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stderr(&stream)) {
        LogStyle::Journal
    } else if io::stderr().is_terminal() && shows_colours() {
        LogStyle::Terminal
    } else {
        LogStyle::Plain
    }
}

/// Returns true if the terminal shows colours, and who sits there wants them
/// (no-color.org).
fn shows_colours() -> bool {
    let is_unwanted = env::var_os("NO_COLOR").is_some_and(|unwanted| !unwanted.is_empty());
    let is_dumb = env::var_os("TERM").is_none_or(|kind| kind == "dumb");
    !is_unwanted && !is_dumb
}

/// Whether stderr is the journal's stream, which systemd names by device and
/// inode. The variable alone says nothing: every shell under systemd passes it
/// on, wherever the output goes then (systemd.exec(5)).
fn is_stderr(stream: &str) -> bool {
    let stderr = io::stderr().as_fd().try_clone_to_owned();
    let metadata = stderr.and_then(|stderr| File::from(stderr).metadata());
    metadata.is_ok_and(|file| stream == format!("{}:{}", file.dev(), file.ino()))
}
