//! Settings of the broker as its peers see it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::report::SettingsReport;
use crate::wire::relay_pattern::RelayPattern;

/// Bridges and the proxies that may serve them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// File with the bridges, one JSON object a line; without it there is one
    /// bridge, that of the Tor Project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge_list_path: Option<PathBuf>,
    /// The relays that every proxy has to accept: a host name suffix, or after
    /// `^` one exact name.
    pub allowed_relay_pattern: String,
    /// The relays that a proxy is taken to accept that sends no pattern of its own.
    pub default_relay_pattern: String,
}

impl Settings {
    /// Reports the patterns that fit no host name.
    pub fn check(&self, report: &mut SettingsReport) {
        for (key, pattern) in [
            ("allowed_relay_pattern", &self.allowed_relay_pattern),
            ("default_relay_pattern", &self.default_relay_pattern),
        ] {
            let checked = RelayPattern::checked(pattern);
            report.refuse_if(key, checked.err().map(|problem| problem.to_string()));
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bridge_list_path: None,
            allowed_relay_pattern: "^snowflake.torproject.net$".to_owned(),
            default_relay_pattern: String::new(),
        }
    }
}
