//! Logs.

use std::io;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// What is logged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The least severe level that is logged, or a filter such as
    /// `info,snowflake_broker::http=debug`.
    pub log_level: String,
    /// Keep IP addresses in log lines.
    pub unsafe_logging: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            log_level: "info".to_owned(),
            unsafe_logging: false,
        }
    }
}

/// Logs to stderr from now on.
pub fn init(settings: &Settings) -> Result<(), ParseError> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse(&settings.log_level)?)
        .with_writer(io::stderr)
        .init();
    Ok(())
}
