//! A log of statistics that grows by an entry each window. An entry that cannot be written
//! is kept, and tried again.

use std::time::Duration;

use tracing::Level;

use crate::broker::clock;
use crate::causes::in_words;
use crate::metrics::backlog::Backlog;
use crate::telemetry::{Kind, LogLimit};

use super::atomic_file::AppendedFile;

/// The maximum number of unwritten entries that are kept: three months' worth.
const MOST_UNWRITTEN: usize = 100;

/// The file, if it is configured, with the entries that are not in it yet.
#[derive(Debug)]
pub(super) struct LogFile {
    /// The setting that names the file.
    setting: &'static str,
    file: Option<AppendedFile>,
    unwritten: Backlog<String>,
    warnings: LogLimit,
}

impl LogFile {
    /// `gist` names repeated warnings in the log.
    pub(super) fn new(
        setting: &'static str,
        gist: &'static str,
        file: Option<AppendedFile>,
    ) -> Self {
        let kind = Kind::new(Level::WARN, gist);
        Self {
            setting,
            file,
            unwritten: Backlog::new(MOST_UNWRITTEN),
            warnings: LogLimit::new(kind, 1, Duration::from_mins(10)),
        }
    }

    /// The last 2 MiB of the file; empty without one.
    pub(super) fn tail(&self) -> Vec<u8> {
        let tail = self.file.as_ref().and_then(|file| file.tail().ok());
        tail.unwrap_or_default()
    }

    /// The entries that are not in the file yet, oldest first.
    pub(super) fn unwritten(&self) -> Vec<String> {
        self.unwritten.entries().cloned().collect()
    }

    /// The number of these.
    pub(super) fn waiting(&self) -> usize {
        self.unwritten.len()
    }

    /// Adds an entry, to be written by [`Self::write`]. Drops it if there is no file.
    pub(super) fn add(&mut self, entry: String) {
        if self.file.is_some() && self.unwritten.push(entry).is_some() {
            tracing::error!(
                "{}: lost the oldest entry that could not be written",
                self.setting
            );
        }
    }

    /// Appends the unwritten entries. Returns true if there were some and all are written.
    pub(super) fn write(&mut self) -> bool {
        let Some(file) = &self.file else {
            return false;
        };
        if self.unwritten.is_empty() {
            return false;
        }
        let entries: String = self.unwritten.entries().map(String::as_str).collect();
        let Err(error) = file.append(&entries) else {
            self.unwritten.retain(|_| false);
            return true;
        };
        if let Some(suppressed) = self.warnings.admit(clock::now()) {
            let waiting = self.unwritten.len();
            tracing::warn!(
                suppressed,
                waiting,
                "{}: cannot write {}, and will try again: {}",
                self.setting,
                file.path().display(),
                in_words(&error)
            );
        }
        false
    }
}
