//! The files of `metrics.ip_count_prefix`: one for each proxy type and NAT, with one JSON
//! line per period.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tracing::Level;

use crate::broker::clock;
use crate::causes::in_words;
use crate::file_access;
use crate::metrics::backlog::Backlog;
use crate::metrics::published_log::whole_lines;
use crate::metrics::{Metrics, schedule};
use crate::telemetry::{Kind, LogLimit};
use crate::wire::nat::NatType;
use crate::wire::proxy::{ProxyType, TYPES_MAX};

use super::atomic_file::{self, AppendedFile};

/// The maximum number of unwritten lines that are kept: two periods with every type and
/// NAT; about 20 MB.
const MOST_UNWRITTEN: usize = 2 * (TYPES_MAX + 1) * NatType::ALL.len();

const UNWRITABLE: Kind = Kind::new(Level::WARN, "metrics.ip_count_prefix: failed writes");

/// Only for the owner: sketches reveal something about addresses.
const MODE: u32 = 0o600;

/// Refuses a prefix in a directory where no file can be created. The error names the
/// setting.
pub(super) fn check_prefix(prefix: &Path) -> anyhow::Result<()> {
    // Checks a file's name, since the prefix may be a directory with a slash.
    let example = file_name(prefix, ProxyType::UNKNOWN, NatType::Unknown);
    file_access::check_directory_of("metrics.ip_count_prefix", &example)
}

#[derive(Debug)]
pub(super) struct IpCounts {
    prefix: PathBuf,
    interval: Duration,
    period_start: SystemTime,
    unwritten: Backlog<UnwrittenLine>,
    warnings: LogLimit,
}

#[derive(Debug)]
struct UnwrittenLine {
    path: PathBuf,
    text: String,
}

impl IpCounts {
    /// Begins to record at `now`.
    pub(super) fn start(
        prefix: PathBuf,
        interval: Duration,
        metrics: &Metrics,
        now: SystemTime,
    ) -> Self {
        metrics.start_recording();
        Self {
            prefix,
            interval,
            period_start: now,
            unwritten: Backlog::new(MOST_UNWRITTEN),
            warnings: LogLimit::new(UNWRITABLE, 1, Duration::from_mins(10)),
        }
    }

    pub(super) fn clock_was_set(&mut self, step: schedule::Step) {
        self.period_start = step.apply(self.period_start);
    }

    pub(super) fn remaining(&mut self, now: SystemTime) -> Duration {
        schedule::remaining(&mut self.period_start, self.interval, now)
    }

    /// Ends the period and begins the next one.
    pub(super) fn end_period(&mut self, metrics: &Metrics, now: SystemTime) {
        // The clock may have been set back to before the start.
        let start = self.period_start.min(now);
        for (proxy_type, nat, recording) in metrics.end_recording(start, now) {
            let line = UnwrittenLine {
                path: file_name(&self.prefix, proxy_type, nat),
                text: recording.encode(),
            };
            if let Some(lost) = self.unwritten.push(line) {
                let path = lost.path.display();
                tracing::warn!("lost the oldest line that could not be written to {path}");
            }
        }
        self.period_start = now;
        self.write();
    }

    /// Writes the unwritten lines, and keeps those that fail.
    pub(super) fn write(&mut self) {
        let warnings = &self.warnings;
        self.unwritten.retain(|line| {
            let file = AppendedFile::new(line.path.clone(), MODE, whole_lines);
            let Err(error) = file.append(&line.text) else {
                return false;
            };
            if let Some(suppressed) = warnings.admit(clock::now()) {
                let path = line.path.display();
                tracing::warn!(
                    suppressed,
                    "cannot write {path}, and will try again: {}",
                    in_words(&error)
                );
            }
            true
        });
    }
}

fn file_name(prefix: &Path, proxy_type: ProxyType, nat: NatType) -> PathBuf {
    atomic_file::with_suffix(prefix, &format!("{proxy_type}_{nat}.jsonl"))
}
