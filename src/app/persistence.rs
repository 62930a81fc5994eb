//! The files of statistics: the metrics log, the impact log, the saved state of their
//! current window, and the recordings of `ip_count_prefix`. No failure here stops the broker: it is logged as
//! a warning and retried.

pub(super) mod atomic_file;
mod history;
mod in_cluster;
mod ip_counts;
mod log_file;
mod outcomes;
mod published_file;
mod state_file;
mod usable;

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Level;

use crate::broker::Broker;
use crate::broker::clock::{self, Reading};
use crate::causes::{in_words, with_causes};
use crate::cluster::Cluster;
use crate::cluster::shared::WindowShare;
use crate::http::ReadMetricsLog;
use crate::metrics::distinct_ips::WindowKey;
use crate::metrics::saved_state::{SavedShare, SavedState};
use crate::metrics::{Metrics, Settings, impact_log, published_log, schedule};
use crate::telemetry::{Kind, LogLimit};

use super::entropy;

use history::KeepsHistory;
use ip_counts::IpCounts;
use log_file::LogFile;
use outcomes::SavesOutcomes;
use published_file::PublishedFile;
use state_file::StateFile;
use usable::{impact_file, log};

pub(super) use usable::{LOG_MODE, usable};

/// The file of the metrics log's window. It contains sketches of addresses, and does not
/// outlive its window (see `metrics::distinct_ips`).
const WINDOW: &str = "metrics-window.json";

/// The maximum wait, since the wall clock may be set at any time.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// The time for which a node that stops waits until the cluster has what it counted.
const GOODBYE: Duration = Duration::from_secs(2);
/// The minimum wait before a retry.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct MetricsPersistence {
    metrics: Arc<Metrics>,
    settings: Settings,
    log: LogFile,
    impact_log: LogFile,
    window_file: Option<StateFile>,
    ip_counts: Option<IpCounts>,
    outcomes: Option<SavesOutcomes>,
    history: Option<KeepsHistory>,
    /// The share of the windows of a cluster.
    shared: Option<WindowShare>,
    /// The saved share, until it is known whether there is a cluster.
    saved_share: Option<SavedShare>,
    /// The time of the last save.
    saved: SystemTime,
    calendar: schedule::ClockStepDetector,
    state_warnings: LogLimit,
}

impl MetricsPersistence {
    /// Continues where the last process stopped. Call it before anything is counted, with
    /// the [`usable`] settings. `start` is the time at which the metrics began, however
    /// long ago.
    pub(super) fn open(
        settings: &Settings,
        metrics: Arc<Metrics>,
        start: Reading,
    ) -> anyhow::Result<Self> {
        let ip_counts = settings.ip_count_prefix.clone().map(|prefix| {
            let interval = settings.ip_count_interval;
            IpCounts::start(prefix, interval, &metrics, start.wall)
        });
        let failed_saves = Kind::new(Level::WARN, "metrics.state_directory: failed saves");
        let mut persistence = Self {
            metrics,
            settings: settings.clone(),
            log: LogFile::new(
                "metrics.metrics_log",
                "metrics.metrics_log: failed writes",
                log(settings),
            ),
            impact_log: LogFile::new(
                "metrics.impact_log",
                "metrics.impact_log: failed writes",
                impact_file(settings),
            ),
            window_file: settings
                .state_directory
                .clone()
                .map(|directory| StateFile::new(directory, WINDOW)),
            ip_counts,
            outcomes: None,
            history: None,
            shared: None,
            saved_share: None,
            // In the distant past, so that saving is tried first.
            saved: SystemTime::UNIX_EPOCH,
            calendar: schedule::ClockStepDetector::new(start.wall, start.monotonic),
            state_warnings: LogLimit::new(failed_saves, 1, Duration::from_mins(10)),
        };
        if persistence
            .window_file
            .as_ref()
            .is_some_and(StateFile::has_no_place)
        {
            // The start has already reported what the first save would report.
            persistence.state_warnings.admit(start.monotonic);
        }
        persistence.restore()?;
        Ok(persistence)
    }

    /// Also saves what the broker learns of kinds of matches and its history, and has it
    /// continue with what was saved.
    #[must_use]
    pub(super) fn with_outcomes(mut self, broker: &Arc<Broker>) -> Self {
        let directory = self.settings.state_directory.clone();
        self.history = Some(KeepsHistory::start(directory.clone(), Arc::clone(broker)));
        self.outcomes = directory.map(|directory| {
            let types = self.settings.types().counted;
            SavesOutcomes::start(directory, Arc::clone(broker), &types)
        });
        self
    }

    /// Writes whatever is due until `closing`, and then the rest.
    pub(super) async fn run(mut self, closing: CancellationToken) {
        let cluster = self.shared.as_ref().map(WindowShare::cluster);
        loop {
            // Changes from here on count, also those during the act.
            let changed = cluster.as_deref().map(Cluster::shared_changed);
            let Some((persistence, wait)) = on_thread(self, Self::act).await else {
                return;
            };
            self = persistence;
            tokio::select! {
                () = sleep(wait) => {}
                () = ended(changed) => {}
                () = closing.cancelled() => break,
            }
        }
        let Some((mut persistence, ())) = on_thread(self, Self::close).await else {
            return;
        };
        // A part that the cluster has before the end need not wait for the next start.
        if let Some(cluster) = cluster
            && timeout(GOODBYE, cluster.has_contributed()).await.is_ok()
        {
            persistence.forget_contributed();
        }
    }

    fn restore(&mut self) -> anyhow::Result<()> {
        let Some(mut saved) = self
            .window_file
            .as_ref()
            .and_then(|file| file.load(SavedState::decode))
        else {
            return Ok(());
        };
        // The last process may have ended between writing a block and saving that fact.
        let log = self.log.tail();
        for block in std::mem::take(&mut saved.unwritten) {
            if !published_log::has_block(&log, &block) {
                self.log.add(block);
            }
        }
        let lines = self.impact_log.tail();
        for line in std::mem::take(&mut saved.unwritten_impact) {
            if !impact_log::has_line(&lines, &line) {
                self.impact_log.add(line);
            }
        }
        self.saved_share = saved.share.take();
        // Blocks of a cluster are of other windows.
        let is_own = self.saved_share.is_none();
        if is_own && published_log::has_window(&log, saved.window_start) {
            tracing::warn!("the saved window is in the metrics log already, starting a new one");
            return Ok(());
        }
        self.metrics.restore(saved, random_key()?);
        Ok(())
    }

    /// Does what is due, and returns the time until something else is.
    fn act(&mut self, reading: Reading) -> Duration {
        let now = self.look_at_calendar(reading);
        let window_remaining = if self.shared.is_some() {
            self.act_in_cluster(now);
            LONGEST_WAIT
        } else {
            self.act_alone(now)
        };
        if let Some(ip_counts) = &mut self.ip_counts
            && ip_counts.remaining(now).is_zero()
        {
            ip_counts.end_period(&self.metrics, now);
        }
        let next_sample = self.history.as_mut().map(|history| history.act(reading));
        let save_interval = self.settings.save_interval;
        if schedule::remaining(&mut self.saved, save_interval, now).is_zero() {
            self.save(now);
        }
        let next_period = self.ip_counts.as_mut().map(|counts| counts.remaining(now));
        let next = window_remaining
            .min(schedule::remaining(&mut self.saved, save_interval, now))
            .min(next_period.unwrap_or(LONGEST_WAIT))
            .min(next_sample.unwrap_or(LONGEST_WAIT));
        next.clamp(SHORTEST_WAIT, LONGEST_WAIT)
    }

    /// Ends the window if it is over. Returns the time left of it.
    fn act_alone(&mut self, now: SystemTime) -> Duration {
        let window = self.settings.metrics_interval;
        if self.metrics.window_remaining(window, now).is_zero() {
            self.end_window(now);
        }
        self.metrics.window_remaining(window, now)
    }

    /// Adjusts running periods after the clock was set, so that they do not end an hour
    /// early or late, and report their real length. Returns the current time.
    fn look_at_calendar(&mut self, reading: Reading) -> SystemTime {
        let now = reading.wall;
        let Some(step) = self.calendar.look(now, reading.monotonic) else {
            return now;
        };
        tracing::warn!("the clock was set: {step}");
        self.metrics.clock_was_set(step);
        self.saved = step.apply(self.saved);
        if let Some(ip_counts) = &mut self.ip_counts {
            ip_counts.clock_was_set(step);
        }
        now
    }

    fn close(&mut self, reading: Reading) {
        let now = self.look_at_calendar(reading);
        self.metrics.stop_awaiting_countries();
        if let Some(ip_counts) = &mut self.ip_counts {
            ip_counts.end_period(&self.metrics, now);
        }
        self.stop_share(now);
        if let Some(history) = &mut self.history {
            history.record(now);
        }
        self.save(now);
        self.offer();
    }

    fn end_window(&mut self, now: SystemTime) {
        let key = match random_key() {
            Ok(key) => key,
            Err(error) => {
                return tracing::warn!(
                    "cannot end the window, and will try again: {}",
                    with_causes(error.as_ref())
                );
            }
        };
        let ended = self.metrics.end_window(now, key);
        self.log.add(ended.block.encode());
        self.impact_log.add(ended.impact.encode());
        if let Some(file) = &self.window_file
            && let Err(error) = file.forget()
        {
            tracing::warn!("metrics.state_directory: cannot remove the old window: {error}");
        }
        self.save(now);
    }

    /// Writes everything to disk. An entry of a log is saved before it is written there, and
    /// removed from the saved state after that, so that a crash in between does not lose
    /// it.
    fn save(&mut self, now: SystemTime) {
        self.saved = now;
        self.save_window();
        let are_written = [self.log.write(), self.impact_log.write()];
        if are_written.contains(&true) {
            self.save_window();
        }
        let unwritten = self.log.waiting() + self.impact_log.waiting();
        self.metrics.blocks_unwritten(unwritten);
        if let Some(ip_counts) = &mut self.ip_counts {
            ip_counts.write();
        }
        if let Some(outcomes) = &mut self.outcomes {
            outcomes.save();
        }
    }

    fn save_window(&self) {
        let Some(file) = &self.window_file else {
            return;
        };
        let mut state = self.metrics.save();
        state.unwritten = self.log.unwritten();
        state.unwritten_impact = self.impact_log.unwritten();
        state.share = self.shared.as_ref().map(WindowShare::saved);
        if let Err(error) = file.save(&state.encode())
            && let Some(suppressed) = self.state_warnings.admit(clock::now())
        {
            tracing::warn!(
                suppressed,
                "metrics.state_directory: cannot save the window, so a restart would lose it: {}",
                in_words(&error)
            );
        }
    }
}

/// Completes when the future does, if there is one.
async fn ended(future: Option<impl Future<Output = ()>>) {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

/// Runs file operations on a thread that may block.
async fn on_thread<T: Send + 'static>(
    mut persistence: MetricsPersistence,
    act: fn(&mut MetricsPersistence, Reading) -> T,
) -> Option<(MetricsPersistence, T)> {
    let task = spawn_blocking(move || {
        let result = act(&mut persistence, clock::read());
        (persistence, result)
    });
    match task.await {
        Ok(done) => Some(done),
        Err(error) => {
            tracing::error!(%error, "metrics are not saved any more");
            None
        }
    }
}

/// The reader of the log that `/metrics` serves, if there is a log.
pub(super) fn reader(settings: &Settings) -> Option<ReadMetricsLog> {
    let log = PublishedFile::new(log(settings)?);
    Some(Arc::new(move || log.read()))
}

/// A random key for hashes of addresses, which is never stored.
pub(super) fn random_key() -> anyhow::Result<WindowKey> {
    entropy::bytes().map(WindowKey::from)
}
