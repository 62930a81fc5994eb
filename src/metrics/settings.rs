//! Settings of the metrics.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::report::{SPAN, SettingsReport};

/// The files of counts, and the intervals at which they are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The metrics log, which `/metrics` serves; without it, `/metrics` answers 404.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_log: Option<PathBuf>,
    /// The interval at which a block is appended to the metrics log.
    #[serde(with = "crate::timespan")]
    pub metrics_interval: Duration,
    /// The directory in which the state of the current block survives a restart; created
    /// if missing. If unset, the state is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_directory: Option<PathBuf>,
    /// The interval at which the state is saved, and at which failed writes are retried.
    #[serde(with = "crate::timespan")]
    pub save_interval: Duration,
    /// The path prefix of the files with sketches of proxy addresses; if unset, there are
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_count_prefix: Option<PathBuf>,
    /// The interval at which sketches are written.
    #[serde(with = "crate::timespan")]
    pub ip_count_interval: Duration,
}

impl Settings {
    /// Reports invalid settings.
    pub fn check(&self, report: &mut SettingsReport) {
        report.within("metrics_interval", self.metrics_interval, &SPAN);
        report.within("save_interval", self.save_interval, &SPAN);
        report.within("ip_count_interval", self.ip_count_interval, &SPAN);
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            metrics_log: None,
            metrics_interval: Duration::from_hours(24),
            state_directory: None,
            save_interval: Duration::from_mins(1),
            ip_count_prefix: None,
            ip_count_interval: Duration::from_hours(1),
        }
    }
}
