//! When proxies are told to poll again.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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

/// Why a poll-interval file is refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPollIntervals(#[from] serde_json::Error);

impl PollInterval {
    /// These intervals with those that the JSON text of a poll-interval file
    /// names, in milliseconds. The keys of two pools, from before there were
    /// three, stand behind the newer ones.
    pub fn overridden_by(&self, text: &str) -> Result<Self, InvalidPollIntervals> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(rename = "open_poll_interval")]
            open: Option<u64>,
            #[serde(rename = "moderate_poll_interval")]
            moderate: Option<u64>,
            #[serde(rename = "strict_poll_interval")]
            strict: Option<u64>,
            #[serde(rename = "unrestricted_poll_interval")]
            unrestricted: Option<u64>,
            #[serde(rename = "restricted_poll_interval")]
            restricted: Option<u64>,
        }
        let file: File = serde_json::from_str(text)?;
        let or = |millis: Option<u64>, set| millis.map_or(set, Duration::from_millis);
        let open = file.open.or(file.unrestricted);
        let strict = file.strict.or(file.restricted);
        Ok(Self {
            open: or(open, self.open),
            moderate: or(file.moderate, self.moderate),
            strict: or(strict, self.strict),
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_overrides_what_it_names() {
        let set = PollInterval::default();
        let three = set
            .overridden_by(r#"{"open_poll_interval":1000,"moderate_poll_interval":2000,"strict_poll_interval":3000,"restricted_poll_interval":4000}"#)
            .unwrap();
        assert_eq!(
            [three.open, three.moderate, three.strict],
            [1, 2, 3].map(Duration::from_secs)
        );
        let two = set
            .overridden_by(r#"{"unrestricted_poll_interval":1000,"restricted_poll_interval":3000}"#)
            .unwrap();
        assert_eq!(
            [two.open, two.moderate, two.strict],
            [1, 20, 3].map(Duration::from_secs)
        );
        assert_eq!(set.overridden_by("{}").unwrap(), set);
    }

    #[test]
    fn a_bad_file_is_refused_with_its_key() {
        let set = PollInterval::default();
        let error = set.overridden_by(r#"{"open":1}"#).unwrap_err().to_string();
        assert!(error.contains("`open`"), "{error}");
        assert!(set.overridden_by(r#"{"open_poll_interval":-1}"#).is_err());
    }
}
