//! The history of the status page: samples of the broker, and their file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tracing::Level;

use crate::broker::Broker;
use crate::broker::clock::{self, Reading};
use crate::causes::in_words;
use crate::metrics::history::{SLOT, SampleHistory};
use crate::telemetry::{Kind, LogLimit};

use super::state_file::StateFile;

const NAME: &str = "history.json";

/// The broker whose history is kept, and the file, if there is a place for one.
#[derive(Debug)]
pub(super) struct KeepsHistory {
    broker: Arc<Broker>,
    file: Option<StateFile>,
    next: Instant,
    warnings: LogLimit,
}

impl KeepsHistory {
    /// Continues with what the last process saved.
    pub(super) fn start(directory: Option<PathBuf>, broker: Arc<Broker>) -> Self {
        let file = directory.map(|directory| StateFile::new(directory, NAME));
        let saved = file
            .as_ref()
            .and_then(|file| file.load(SampleHistory::decode));
        if let Some(saved) = saved {
            broker.metrics().restore_history(saved);
        }
        let kind = Kind::new(
            Level::WARN,
            "metrics.state_directory: failed saves of the history",
        );
        let warnings = LogLimit::new(kind, 1, Duration::from_mins(10));
        if file.as_ref().is_some_and(StateFile::has_no_place) {
            // The start has already reported what the first save would report.
            warnings.admit(clock::now());
        }
        Self {
            broker,
            file,
            next: clock::now() + SLOT,
            warnings,
        }
    }

    /// Takes a sample if one is due. Returns the time until the next one.
    pub(super) fn act(&mut self, now: Reading) -> Duration {
        if now.monotonic >= self.next {
            self.record(now.wall);
            // Samples missed in a suspended machine are missing.
            self.next = now.monotonic + SLOT;
        }
        self.next.saturating_duration_since(now.monotonic)
    }

    /// Takes a sample now and saves the history.
    pub(super) fn record(&mut self, now: SystemTime) {
        let gauges = self.broker.control().waiting();
        self.broker.metrics().record_history(now, &gauges);
        let Some(file) = &self.file else {
            return;
        };
        if let Err(error) = file.save(&self.broker.metrics().encoded_history())
            && let Some(suppressed) = self.warnings.admit(clock::now())
        {
            tracing::warn!(
                suppressed,
                "metrics.state_directory: cannot save the history: {}",
                in_words(&error)
            );
        }
    }
}
