//! Everything a broker is made of, put together and run.

use std::env;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::broker::limits::Limits;
use crate::broker::{Broker, clock};
use crate::config::{Config, Inputs, Loaded};
use crate::geoip::GeoIp;
use crate::listener::{self, Server};
use crate::metrics::Metrics;
use crate::telemetry::LogStyle;
use crate::{http, telemetry, tls};

use super::books::{self, Books};
use super::exports::Exports;
use super::lifecycle::{Ending, Request, Running, Signals};
use super::observed::{self, Connections};
use super::random;
use super::reload::{self, Reloader};
use super::start_up::{blame_configuration, cannot_listen, certificate};

/// How much longer than a client waits the broker waits for its connections to
/// close when it is told to stop.
const CLOSING_PATIENCE: Duration = Duration::from_millis(500);

/// How much longer still for a disk that is slow with the last counts, and for
/// collectors that are slow with the last traces and metrics.
const SAVING_PATIENCE: Duration = Duration::from_millis(500);

/// How long after a reload the next one begins: of signals that come in
/// hundreds most are one.
const RELOAD_PAUSE: Duration = Duration::from_millis(500);

/// Is a broker until it is told to stop.
pub(super) fn serve(inputs: Inputs, loaded: Loaded) -> anyhow::Result<()> {
    let Loaded {
        config, warnings, ..
    } = loaded;
    let (log, _last_lines) = telemetry::init(&config.telemetry, log_style())?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    refuse_what_is_missing(&config).map_err(blame_configuration)?;
    raise_file_limit();
    let runtime = Runtime::new().context("cannot start threads")?;
    let served = runtime.block_on(run(Reloader {
        inputs,
        config,
        log,
    }));
    // A connection that did not end in its time does not keep us.
    runtime.shutdown_background();
    served
}

async fn run(mut reloader: Reloader) -> anyhow::Result<()> {
    let config = &reloader.config.clone();
    let mut signals = Signals::new().context("cannot listen to signals")?;
    books::check(&config.metrics).map_err(blame_configuration)?;
    let read = {
        let config = config.clone();
        move || reload::knowledge(&config, &GeoIp::default())
    };
    // A file that does not come must not keep us from stopping.
    let knowledge = tokio::select! {
        read = spawn_blocking(read) => read.context("reading failed")?,
        () = signals.stop() => return Ok(()),
    };
    let knowledge = knowledge.map_err(blame_configuration)?;
    let now = clock::wall_clock();
    let metrics = Arc::new(Metrics::new(now, books::random_key()?));
    let books = Books::open(&config.metrics, Arc::clone(&metrics), now)?;
    let mut exports = Exports::open(&config.otel)?;
    let matching = config.matching.clone();
    let broker = Broker::new(matching, knowledge, Arc::clone(&metrics), random::seed()?);
    let limits = Limits::new(config.limits.clone(), random::bytes()?.into());
    let broker = Arc::new(broker.limited(limits).traced(exports.tracer()));
    let closing = CancellationToken::new();
    let server = server(config, &broker, metrics, &closing)?;
    let addr = &config.listener.addr;
    let listener = listener::bind(addr)
        .await
        .map_err(|error| cannot_listen("listener.addr", addr, &error))?;
    let port = listener.local_addr()?.port();
    tracing::info!(port, tls = config.tls.cert.is_some(), "brokering");

    let driven = Arc::clone(&broker);
    tokio::spawn(async move { driven.drive().await });
    let close_books = CancellationToken::new();
    let books = tokio::spawn(books.keep(close_books.clone()));
    exports.watch(&broker);
    let running = Running {
        broker: Arc::clone(&broker),
        closing,
        server: tokio::spawn(Arc::clone(&server).run(listener)),
    };
    while signals.next().await == Request::Reload {
        let reload = async {
            reloader.reload(&broker, &server).await;
            sleep(RELOAD_PAUSE).await;
        };
        // A file that does not come, from a network that is down, must not keep
        // us from stopping.
        tokio::select! {
            () = reload => {}
            () = signals.stop() => break,
        }
    }
    tracing::info!("stopping");
    let patience = config.matching.client_timeout + CLOSING_PATIENCE;
    let deadline = clock::now() + patience + SAVING_PATIENCE;
    let ending = running.stop(&mut signals, patience).await;
    close_books.cancel();
    let export_patience = match ending {
        Ending::AtOnce => SAVING_PATIENCE,
        Ending::InTime | Ending::Late => deadline.saturating_duration_since(clock::now()),
    };
    let (books, ()) = tokio::join!(
        timeout_at(deadline.into(), books),
        signals.unless_stopped(exports.close(export_patience)),
    );
    if books.is_err() {
        tracing::warn!("stopped before the counts were saved");
    }
    Ok(())
}

fn server(
    config: &Config,
    broker: &Arc<Broker>,
    metrics: Arc<Metrics>,
    closing: &CancellationToken,
) -> anyhow::Result<Arc<Server>> {
    let sources = http::Sources {
        metrics_log: books::reader(&config.metrics),
        process_figures: observed::process_figures,
    };
    let router = http::router(Arc::clone(broker), config.http.clone(), sources);
    let server = Server::new(
        config.listener.clone(),
        tls_acceptor(&config.tls, &metrics)?,
        router,
        Arc::new(Connections::new(metrics)),
        closing.clone(),
    );
    reload::set_limits(config, broker, &server);
    Ok(Arc::new(server))
}

fn tls_acceptor(
    settings: &tls::Settings,
    metrics: &Metrics,
) -> anyhow::Result<Option<TlsAcceptor>> {
    let Some(certificate) = certificate(settings).map_err(blame_configuration)? else {
        return Ok(None);
    };
    if let Some(until) = certificate.valid_until {
        metrics.certificate_loaded(until);
    } else {
        tracing::warn!("tls.cert: it does not say until when it is valid");
    }
    Ok(Some(TlsAcceptor::from(Arc::new(certificate.config))))
}

fn log_style() -> LogStyle {
    if env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stderr(&stream)) {
        LogStyle::Journal
    } else if io::stderr().is_terminal() {
        LogStyle::Terminal
    } else {
        LogStyle::Plain
    }
}

/// Whether stderr is the journal's stream, which systemd names by device and
/// inode. The variable alone says nothing: every shell under systemd passes it
/// on, wherever the output goes then (systemd.exec(5)).
fn is_stderr(stream: &str) -> bool {
    let stderr = io::stderr().as_fd().try_clone_to_owned();
    let metadata = stderr.and_then(|stderr| File::from(stderr).metadata());
    metadata.is_ok_and(|file| stream == format!("{}:{}", file.dev(), file.ino()))
}

/// Better no broker than one that seems to do what it was told.
fn refuse_what_is_missing(config: &Config) -> anyhow::Result<()> {
    if !config.acme.hostnames.is_empty() {
        bail!("acme.hostnames: certificates cannot be ordered yet; use tls.cert and tls.key");
    }
    if config.sqs.queue_name.is_some() {
        bail!("sqs.queue_name: clients cannot come through SQS yet");
    }
    Ok(())
}

/// Every parked poll is an open file; the soft limit is often 1,024.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, soft = limit.current, "cannot raise the limit of open files");
    }
}
