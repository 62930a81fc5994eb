//! The settings of logs.

use serde::{Deserialize, Serialize};

use super::LogLevel;
use crate::report::SettingsReport;

/// The level and the form of what is logged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The least severe level that is logged, or a filter such as
    /// `info,snowflake_broker::http=debug`.
    pub log_level: String,
    /// The form of a line.
    pub log_format: LogFormat,
    /// Keep IP addresses in log lines, and let other crates than this say more
    /// than `info`: they may log what proxies and clients send.
    pub unsafe_logging: bool,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Words for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Settings {
    /// Reports what is wrong.
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
