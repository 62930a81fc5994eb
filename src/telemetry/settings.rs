//! Settings of logging.

use serde::{Deserialize, Serialize};

use super::LogLevel;
use crate::report::SettingsReport;

/// The level and format of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The lowest logged level, or a filter such as `info,snowflake_broker::http=debug`.
    pub log_level: String,
    /// The format of a line.
    pub log_format: LogFormat,
    /// True to keep IP addresses in log lines, and to let other crates log below `info`:
    /// they may log data from proxies and clients.
    pub unsafe_logging: bool,
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for humans.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl Settings {
    /// Reports mistakes.
    pub fn check(&self, report: &mut SettingsReport) {
        let parsed = LogLevel::parse(&self.log_level);
        report.refuse_if("log_level", parsed.err().map(|error| error.to_string()));
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            log_level: "info".to_owned(),
            log_format: LogFormat::Text,
            unsafe_logging: false,
        }
    }
}
