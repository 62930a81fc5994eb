//! Settings of bridges and relay patterns.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use crate::report::SettingsReport;
use crate::wire::relay_pattern::RelayPattern;

const DEFAULT_PATTERN: &str = "default_relay_pattern";

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
    /// The relays that a proxy is taken to accept if its poll has no pattern. If unset,
    /// such a proxy serves only where the Tor Project's bridge is the only one.
    #[serde(deserialize_with = "pattern", skip_serializing_if = "Option::is_none")]
    pub default_relay_pattern: Option<String>,
}

/// The warning about an empty [`Settings::default_relay_pattern`].
pub const SERVES_EVERY_RELAY: &str = "accepts proxies that send no pattern, although they \
     connect to the Tor Project's bridge whatever their client asks for: remove it to refuse \
     them where there are other bridges";

impl Settings {
    /// Reports patterns that match no host name.
    pub fn check(&self, report: &mut SettingsReport) {
        let default = self.default_relay_pattern.as_ref();
        let default = default.map(|pattern| (DEFAULT_PATTERN, pattern));
        let allowed = ("allowed_relay_pattern", &self.allowed_relay_pattern);
        for (key, pattern) in [allowed].into_iter().chain(default) {
            let checked = RelayPattern::checked(pattern);
            report.refuse_if(key, checked.err().map(|problem| problem.to_string()));
        }
        if default.is_some_and(|(_, pattern)| pattern.is_empty()) {
            report.warn(&[DEFAULT_PATTERN], SERVES_EVERY_RELAY);
        }
    }
}

/// Reads a pattern, even an empty one: the reference broker's flag may be empty, which for
/// other optional keys means that they are unset.
fn pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bridge_list_path: None,
            allowed_relay_pattern: "^snowflake.torproject.net$".to_owned(),
            default_relay_pattern: None,
        }
    }
}
