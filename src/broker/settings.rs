//! Settings of bridges and relay patterns.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::report::SettingsReport;
use crate::wire::relay_pattern::RelayPattern;

/// The bridges, and the proxies that may serve them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The file with the bridges, one JSON object a line. If unset, the only bridge is
    /// the Tor Project's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge_list_path: Option<PathBuf>,
    /// The relays that every proxy has to accept: a host name suffix, or one exact name
    /// after `^`.
    pub allowed_relay_pattern: String,
    /// The relays that a proxy is taken to accept if its poll has no pattern.
    pub default_relay_pattern: String,
}

impl Settings {
    /// Reports patterns that match no host name.
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
