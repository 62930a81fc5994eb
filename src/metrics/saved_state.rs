//! The saved form of a window, from which the next process continues it: JSON.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::distinct_ips::SavedIps;
use super::saved_impact::SavedImpact;
use super::timestamp;
use super::window::WindowCounts;

/// The state of a window so far. Private to the broker; [`super::distinct_ips`] describes
/// what the sketches of addresses reveal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedState {
    /// The beginning of the window.
    #[serde(with = "timestamp")]
    pub window_start: SystemTime,
    /// The counts so far.
    pub counts: WindowCounts,
    /// The numbers of addresses.
    pub ips: SavedIps,
    /// Blocks of earlier windows that may not be in the log yet, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unwritten: Vec<String>,
    /// The impact so far; `None` without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact: Option<SavedImpact>,
    /// Lines of earlier windows that may not be in the impact log yet, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unwritten_impact: Vec<String>,
    /// The place of the window among those of a cluster; `None` outside of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<SavedShare>,
}

/// A node's share of the windows of its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedShare {
    /// The number of the window in the cluster.
    pub window: u64,
    /// The number of the last block of the cluster that was added to the log.
    pub last_block: u64,
    /// Parts of earlier windows that the cluster may not have yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<SavedPart>,
}

/// The counts of a node in a window of its cluster that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPart {
    /// A random number that no other part has.
    pub id: u64,
    /// The number of the window.
    pub window: u64,
    /// True if the node has counted until the end of the window, false if it stopped before.
    pub is_last: bool,
    /// The counts, as [`SavedState::encode`] writes them.
    pub state: String,
}

/// The error for a saved state that cannot be continued.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSavedState {
    /// The saved state is damaged.
    #[error("the saved state is damaged")]
    Damaged(#[from] serde_json::Error),
    /// The saved state has the format of another release.
    #[error("the saved state has version {0}, and this release reads version {VERSION}")]
    Version(u64),
}

/// Incremented when the format changes.
const VERSION: u64 = 1;

#[derive(Deserialize)]
struct FormatVersion {
    version: u64,
}

#[derive(Serialize)]
struct Written<'a> {
    version: u64,
    window: &'a SavedState,
}

#[derive(Deserialize)]
struct Read {
    window: SavedState,
}

impl SavedState {
    /// The content of the file.
    pub fn encode(&self) -> String {
        let written = Written {
            version: VERSION,
            window: self,
        };
        // Maps with text keys can always be written as JSON.
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// Reads the content of a file. A truncated file is an error, never half a window.
    pub fn decode(content: &[u8]) -> Result<Self, InvalidSavedState> {
        let FormatVersion { version } = serde_json::from_slice(content)?;
        if version != VERSION {
            return Err(InvalidSavedState::Version(version));
        }
        let Read { window } = serde_json::from_slice(content)?;
        Ok(window)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::geoip::CountryCode;
    use crate::metrics::distinct_ips::{DistinctIps, WindowKey};
    use crate::metrics::labels::Rendezvous;
    use crate::wire::nat::NatType;
    use crate::wire::proxy::{ProxyType, ProxyTypes};

    fn state() -> SavedState {
        let by_country = BTreeMap::from([(CountryCode::UNKNOWN, 1)]);
        let counts = WindowCounts {
            idle: 12,
            matched: 3,
            denied: BTreeMap::from([(NatType::Strict, 1)]),
            client_polls: BTreeMap::from([(Rendezvous::Sqs, by_country)]),
            ..WindowCounts::default()
        };
        let mut ips = DistinctIps::new(WindowKey::from([1; 16]), 100);
        let address = "192.0.2.1".parse().unwrap();
        ips.record(
            address,
            CountryCode::UNKNOWN,
            ProxyType::BLOCO,
            NatType::Open,
        );
        SavedState {
            window_start: SystemTime::UNIX_EPOCH + Duration::from_millis(1_500),
            counts,
            ips: ips.save(),
            unwritten: vec!["a block\n".to_owned()],
            impact: None,
            unwritten_impact: vec!["a line\n".to_owned()],
            share: Some(SavedShare {
                window: 3,
                last_block: 1,
                parts: vec![SavedPart {
                    id: 5,
                    window: 2,
                    is_last: true,
                    state: "{}".to_owned(),
                }],
            }),
        }
    }

    #[test]
    fn what_was_saved_is_read_back() {
        let state = state();
        assert_eq!(
            SavedState::decode(state.encode().as_bytes()).unwrap(),
            state
        );
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let other = state().encode().replace("\"version\":1", "\"version\":2");
        assert!(matches!(
            SavedState::decode(other.as_bytes()),
            Err(InvalidSavedState::Version(2))
        ));
    }

    proptest! {
        #[test]
        fn a_state_that_was_cut_off_is_an_error(at in any::<prop::sample::Index>()) {
            let content = state().encode();
            let cut = &content.as_bytes()[..at.index(content.len())];
            prop_assert!(SavedState::decode(cut).is_err());
        }

        #[test]
        fn no_damage_makes_it_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut content = state().encode().into_bytes();
            let at = at.index(content.len());
            content[at] = byte;
            if let Ok(state) = SavedState::decode(&content) {
                DistinctIps::restore(WindowKey::from([1; 16]), 100, state.ips, &ProxyTypes::default()).counts();
            }
        }
    }
}
