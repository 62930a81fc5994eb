//! One run: proxies come and are parked, then clients come, then all leave.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::connections::{Connections, Dialer};
use crate::messages::Messages;
use crate::options::Options;
use crate::peers::{self, Load, Schedule};
use crate::progress::Progress;
use crate::report::{Measured, Report};
use crate::server::Server;
use crate::tally::{Counts, Outcome, Tally};

/// How long all proxies may take to come.
const PARKING_PATIENCE: Duration = Duration::from_mins(2);
/// From when all polls are sent until memory is looked at.
const SETTLING: Duration = Duration::from_millis(1_500);
/// How long proxies may take, once no more clients come, to say what they know.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// Puts a server under load.
pub(crate) async fn run(name: &str, server: &Server, options: &Options) -> Result<Report> {
    let load = Arc::new(load(server, options)?);
    let progress = Progress::start(name, &load);
    let before = server.usage()?;
    let mut proxies = JoinSet::new();
    for index in 0..options.proxies {
        proxies.spawn(peers::proxy(Arc::clone(&load), index));
    }
    progress.phase("parking", PARKING_PATIENCE);
    let parked = parked(&load).await;
    let with_parked = server.usage()?;
    let measured = measure(server, &load, &progress).await?;
    wait_for_answers(&load).await;
    proxies.shutdown().await;
    progress.finish();
    Ok(Report::new(
        name,
        &load,
        before,
        parked,
        with_parked,
        measured,
    ))
}

fn load(server: &Server, options: &Options) -> Result<Load> {
    let dialer = Arc::new(Dialer::new(options, server.addr, server.tls)?);
    Ok(Load {
        options: options.clone(),
        messages: Messages::new(options.sdp_bytes),
        tally: Tally::new()?,
        proxies: Connections::new(options, &dialer, options.proxies),
        clients: Connections::new(options, &dialer, options.clients),
        // Other generators may load the same broker.
        dialer,
        next_tag: AtomicU64::new(fastrand::u64(..u64::MAX / 2)),
    })
}

/// Waits until all polls are sent, but for those that were turned away; how many are
/// parked then.
async fn parked(load: &Load) -> usize {
    let deadline = Instant::now() + PARKING_PATIENCE;
    while still_coming(load) && Instant::now() < deadline {
        sleep(PAUSE).await;
    }
    sleep(SETTLING).await;
    load.tally.polling()
}

fn still_coming(load: &Load) -> bool {
    let counts = load.tally.counts();
    let turned_away = [
        Outcome::PollRefused,
        Outcome::PollFailed,
        Outcome::PollDamaged,
    ];
    let turned_away: u64 = turned_away.iter().map(|outcome| counts.of(*outcome)).sum();
    let turned_away = usize::try_from(turned_away).unwrap_or(usize::MAX);
    let polled = load.tally.polling().saturating_add(turned_away);
    // A poll begins with its connection.
    polled < load.options.proxies || load.dialer.opening() > 0
}

/// Has clients come, and measures while they do.
async fn measure(server: &Server, load: &Arc<Load>, progress: &Progress) -> Result<Measured> {
    let options = &load.options;
    let start = Instant::now();
    let measured_from = start + options.warm_up;
    let schedule = Arc::new(Schedule {
        start,
        measured_from,
        end: measured_from + options.duration,
        interval: options.rate.map(|rate| Duration::from_secs(1) / rate),
        arrivals: AtomicU64::new(0),
    });
    let mut clients = JoinSet::new();
    for index in 0..options.clients {
        clients.spawn(peers::client(
            Arc::clone(load),
            Arc::clone(&schedule),
            index,
        ));
    }
    progress.phase("warming up", options.warm_up);
    sleep_until(schedule.measured_from.into()).await;
    let begin = Reading::take(server, &load.tally)?;
    progress.phase("measuring", options.duration);
    sleep_until(schedule.end.into()).await;
    let end = Reading::take(server, &load.tally)?;
    progress.phase("finishing", FAREWELL_PATIENCE);
    while let Some(client) = clients.join_next().await {
        client.context("a client failed")?;
    }
    Ok(Measured::between(&begin, &end))
}

async fn wait_for_answers(load: &Load) {
    let deadline = Instant::now() + FAREWELL_PATIENCE;
    while load.tally.answering() > 0 && Instant::now() < deadline {
        sleep(PAUSE).await;
    }
}

/// Counts and clocks at one time.
pub(crate) struct Reading {
    pub(crate) at: Instant,
    pub(crate) counts: Counts,
    pub(crate) cpu: Option<Duration>,
}

impl Reading {
    fn take(server: &Server, tally: &Tally) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            counts: tally.counts(),
            cpu: server.usage()?.map(|usage| usage.cpu),
        })
    }
}
