//! The settings of metrics.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::report::{SPAN, SettingsReport};

/// Files of counts, and the intervals at which they are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The metrics log that `/metrics` serves; none means 404 there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_log: Option<PathBuf>,
    /// The interval at which a block is appended to it.
    #[serde(with = "crate::timespan")]
    pub metrics_interval: Duration,
    /// Directory for what a restart must not lose of the block that goes on,
    /// made if it is not there; none means that it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_directory: Option<PathBuf>,
    /// The interval at which it is saved there, and after which what could not be written is
    /// tried again.
    #[serde(with = "crate::timespan")]
    pub save_interval: Duration,
    /// Beginning of the names of the files with sketches of the proxies'
    /// addresses; none means no such files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_count_prefix: Option<PathBuf>,
    /// The interval at which a sketch is written.
    #[serde(with = "crate::timespan")]
    pub ip_count_interval: Duration,
}

impl Settings {
    /// Reports what is wrong.
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
