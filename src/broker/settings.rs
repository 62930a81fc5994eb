//! What an operator can set about the broker as its peers see it.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    /// What a proxy is taken to accept that sends no pattern of its own.
    pub default_relay_pattern: String,
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

/// When proxies are told to poll again, `NextPoll`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PollInterval {
    /// File with the intervals of the three pools as JSON; what it names
    /// overrides the settings here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filepath: Option<PathBuf>,
    /// For proxies that everybody reaches.
    #[serde(with = "crate::timespan")]
    pub open: Duration,
    /// For proxies behind a moderate NAT.
    #[serde(with = "crate::timespan")]
    pub moderate: Duration,
    /// For proxies behind a strict or unknown NAT.
    #[serde(with = "crate::timespan")]
    pub strict: Duration,
    /// For proxies refused for their relay pattern.
    #[serde(with = "crate::timespan")]
    pub refused: Duration,
    /// For proxies turned away because `max_parked_polls` are parked.
    #[serde(with = "crate::timespan")]
    pub overloaded: Duration,
}

impl Default for PollInterval {
    fn default() -> Self {
        Self {
            filepath: None,
            open: Duration::from_secs(20),
            moderate: Duration::from_secs(20),
            strict: Duration::from_secs(20),
            refused: Duration::from_mins(10),
            overloaded: Duration::from_mins(2),
        }
    }
}
