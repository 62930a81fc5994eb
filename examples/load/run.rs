//! One run: proxies poll and are parked, then clients arrive, then all leave.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::connections::{Connections, Dialer};
use crate::figures::Parked;
use crate::messages::Messages;
use crate::options::Options;
use crate::peers::{self, Load};
use crate::progress::Progress;
use crate::report::{Measured, Report, Sample};
use crate::sampling;
use crate::schedule::{Arrivals, Schedule};
use crate::server::{Server, Usage};
use crate::tally::{Counts, Outcome, Tally};

/// Maximum time until all proxies have polled.
const PARKING_PATIENCE: Duration = Duration::from_mins(2);
/// Maximum time for proxies to send their last answers after the last client.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// Puts a server under load.
pub(crate) async fn run(name: &str, server: &Server, options: &Options) -> Result<Report> {
    let load = Arc::new(load(server, options)?);
    let progress = Progress::start(name, &load);
    let before = server.usage()?;
    let mut proxies = JoinSet::new();
    if options.poll_rate.is_none() {
        send_proxies(&mut proxies, &load, &Arc::new(Schedule::endless()));
        progress.phase("parking", PARKING_PATIENCE);
        wait_until_parked(&load).await;
    }
    let parked = Parked {
        before,
        polls: load.tally.polling(),
        usage: server.usage()?,
    };
    let (measured, samples) = measure(server, &load, &mut proxies, &progress).await?;
    wait_for_answers(&load).await;
    proxies.shutdown().await;
    progress.finish();
    let report = Report::new(name, server, &load, &parked, measured, samples);
    Ok(report)
}

fn send_proxies(proxies: &mut JoinSet<()>, load: &Arc<Load>, polls: &Arc<Schedule>) {
    for index in 0..load.options.proxies {
        proxies.spawn(peers::proxy(Arc::clone(load), Arc::clone(polls), index));
    }
}

fn load(server: &Server, options: &Options) -> Result<Load> {
    let dialer = Arc::new(Dialer::new(options, server.addr, server.tls)?);
    let of_proxies = Arc::new(Dialer::new(options, server.proxies_addr, server.tls)?);
    Ok(Load {
        options: options.clone(),
        messages: Messages::new(options.sdp_bytes),
        tally: Tally::new()?,
        proxies: Connections::new(options, &of_proxies, options.proxies),
        clients: Connections::new(options, &dialer, options.clients),
        // The tag starts at a random number, because other generators may load the same
        // broker.
        dialer: of_proxies,
        next_tag: AtomicU64::new(fastrand::u64(..u64::MAX / 2)),
    })
}

/// Waits until all polls are sent, except those that were refused.
async fn wait_until_parked(load: &Load) {
    let deadline = Instant::now() + PARKING_PATIENCE;
    while still_coming(load) && Instant::now() < deadline {
        sleep(PAUSE).await;
    }
    sleep(load.options.settle).await;
}

fn still_coming(load: &Load) -> bool {
    let counts = load.tally.counts();
    let turned_away: u64 = [
        Outcome::PollRefused,
        Outcome::PollFailed,
        Outcome::PollDamaged,
    ]
    .iter()
    .map(|outcome| counts.of(*outcome))
    .sum();
    let turned_away = usize::try_from(turned_away).unwrap_or(usize::MAX);
    let polled = load.tally.polling().saturating_add(turned_away);
    // A poll counts from when its connection is being opened.
    polled < load.options.proxies || load.dialer.opening() > 0
}

/// Starts the clients, and measures while they run.
async fn measure(
    server: &Server,
    load: &Arc<Load>,
    proxies: &mut JoinSet<()>,
    progress: &Progress,
) -> Result<(Measured, Vec<Sample>)> {
    let options = &load.options;
    let start = Instant::now();
    let schedule = |rate| Arc::new(schedule(options, start, rate));
    if let Some(rate) = options.poll_rate {
        send_proxies(proxies, load, &schedule(Some(rate)));
    }
    let schedule = schedule(options.rate);
    let mut clients = JoinSet::new();
    for index in 0..options.clients {
        let schedule = Arc::clone(&schedule);
        clients.spawn(peers::client(Arc::clone(load), schedule, index));
    }
    let samples = async {
        match options.sample_every {
            None => Ok(Vec::new()),
            Some(every) => sampling::take(server, load, every, start, schedule.end).await,
        }
    };
    let (samples, measured) = tokio::join!(samples, between(server, load, &schedule, progress));
    progress.phase("finishing", FAREWELL_PATIENCE);
    while let Some(client) = clients.join_next().await {
        client.context("a client failed")?;
    }
    Ok((measured?, samples?))
}

fn schedule(options: &Options, start: Instant, rate: Option<u32>) -> Schedule {
    let measured_from = start + options.warm_up;
    Schedule {
        start,
        measured_from,
        end: measured_from + options.duration,
        arrivals: rate.map(|rate| Arrivals {
            per_second: rate.into(),
            swing: options.swing,
            day: options.warm_up + options.duration,
        }),
        count: AtomicU64::new(0),
    }
}

/// Measures between the end of the warm-up and the end of the schedule.
async fn between(
    server: &Server,
    load: &Load,
    schedule: &Schedule,
    progress: &Progress,
) -> Result<Measured> {
    progress.phase("warming up", load.options.warm_up);
    sleep_until(schedule.measured_from.into()).await;
    let begin = Reading::take(server, &load.tally)?;
    progress.phase("measuring", load.options.duration);
    sleep_until(schedule.end.into()).await;
    Ok(Measured::between(
        &begin,
        &Reading::take(server, &load.tally)?,
    ))
}

async fn wait_for_answers(load: &Load) {
    let deadline = Instant::now() + FAREWELL_PATIENCE;
    while load.tally.answering() > 0 && Instant::now() < deadline {
        sleep(PAUSE).await;
    }
}

/// Counts and clocks at one moment.
pub(crate) struct Reading {
    pub(crate) at: Instant,
    pub(crate) counts: Counts,
    /// Polls without a response.
    pub(crate) polling: usize,
    pub(crate) usage: Option<Usage>,
}

impl Reading {
    pub(crate) fn take(server: &Server, tally: &Tally) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            counts: tally.counts(),
            polling: tally.polling(),
            usage: server.usage()?,
        })
    }
}
