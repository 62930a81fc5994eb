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
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::timeout_at;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::broker::{Broker, clock};
use crate::config::{Config, Inputs, Loaded};
use crate::geoip::GeoIp;
use crate::listener::{self, Server};
use crate::metrics::Metrics;
use crate::telemetry::LogStyle;
use crate::{http, telemetry};

use super::books::{self, Books};
use super::certificates::Certificates;
use super::exports::Exports;
use super::lifecycle::{Ending, Request, Running, Signals};
use super::observed::{self, Connections};
use super::reload::{self, Reloader};

/// How much longer than a client waits the broker waits for its connections to
/// close when it is told to stop.
const CLOSING_PATIENCE: Duration = Duration::from_millis(500);

/// How much longer still for a disk that is slow with the last counts, and for
/// collectors that are slow with the last traces and metrics.
const SAVING_PATIENCE: Duration = Duration::from_millis(500);

/// Is a broker until it is told to stop.
pub(super) fn serve(inputs: Inputs, loaded: Loaded) -> anyhow::Result<()> {
    let Loaded {
        config, warnings, ..
    } = loaded;
    let log = telemetry::init(&config.telemetry, log_style())?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    refuse_what_is_missing(&config)?;
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
    let knowledge = reload::knowledge(config, &GeoIp::default())?;
    let now = clock::wall_clock();
    let metrics = Arc::new(Metrics::new(now, books::random_key()?));
    let books = Books::open(&config.metrics, Arc::clone(&metrics), now)?;
    let mut exports = Exports::open(&config.otel)?;
    let broker = Broker::new(config.matching.clone(), knowledge, Arc::clone(&metrics));
    let broker = Arc::new(broker.traced(exports.tracer()));
    let closing = CancellationToken::new();
    let certificates = Certificates::open(config, Arc::clone(&metrics))?;
    let tls = certificates.acceptor()?;
    let has_tls = tls.is_some();
    let serve_challenges = challenge_server(config, &metrics, &closing);
    let server = server(config, &broker, tls, metrics, &closing);
    let addr = &config.listener.addr;
    let listener = listener::bind(addr)
        .await
        .with_context(|| format!("listener.addr: cannot listen on {addr}"))?;
    let port = listener.local_addr()?.port();
    certificates.keep(config, serve_challenges).await?;
    tracing::info!(port, tls = has_tls, "brokering");

    let driven = Arc::clone(&broker);
    tokio::spawn(async move { driven.drive().await });
    let close_books = CancellationToken::new();
    let books = tokio::spawn(books.keep(close_books.clone()));
    exports.watch(&broker);
    let running = Running {
        broker: Arc::clone(&broker),
        closing,
        server: tokio::spawn(server.run(listener)),
    };
    while signals.next().await == Request::Reload {
        // A file that does not come, from a network that is down, must not keep
        // us from stopping.
        tokio::select! {
            () = reloader.reload(&broker, &certificates) => {}
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
    tls: Option<TlsAcceptor>,
    metrics: Arc<Metrics>,
    closing: &CancellationToken,
) -> Arc<Server> {
    let sources = http::Sources {
        metrics_log: books::reader(&config.metrics),
        process_figures: observed::process_figures,
    };
    let router = http::router(Arc::clone(broker), config.http.clone(), sources);
    Arc::new(Server::new(
        config.listener.clone(),
        tls,
        router,
        Arc::new(Connections(metrics)),
        closing.clone(),
    ))
}

/// Serves in the clear what a certificate authority looks at.
fn challenge_server(
    config: &Config,
    metrics: &Arc<Metrics>,
    closing: &CancellationToken,
) -> impl FnOnce(Router, TcpListener) + use<> {
    let settings = config.listener.clone();
    let observer = Arc::new(Connections(Arc::clone(metrics)));
    let closing = closing.clone();
    move |router, listener| {
        let server = Server::new(settings, None, router, observer, closing);
        tokio::spawn(Arc::new(server).run(listener));
    }
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
