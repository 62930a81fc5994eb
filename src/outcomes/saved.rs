//! The saved form of what is known of kinds of matches, from which the next process
//! continues: JSON. Sources are not saved, since the key of their hashes ends with the
//! process.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::kinds::MatchKind;
use crate::geoip::CountryCode;
use crate::wire::nat::NatClass;
use crate::wire::proxy::ProxyTypes;

/// Incremented when the format changes.
const VERSION: u64 = 1;
/// Kinds with fewer votes are left out: they say nothing, and might be of one person.
const VOTES_MIN: f64 = 8.0;

/// The knowledge of kinds of matches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedOutcomes {
    version: u64,
    /// The time of the save, in seconds since 1970 (UTC).
    saved: u64,
    kinds: Vec<SavedKind>,
}

/// The matches of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedKind {
    proxy_type: String,
    proxy: String,
    client: String,
    country: CountryCode,
    worked: f64,
    failed: f64,
}

/// The error for a saved state that cannot be continued.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSavedOutcomes {
    /// The saved state is damaged.
    #[error("the saved outcomes are damaged")]
    Damaged(#[from] serde_json::Error),
    /// The saved state has the format of another release.
    #[error("the saved outcomes have version {0}, and this release reads version {VERSION}")]
    Version(u64),
}

impl SavedOutcomes {
    /// The knowledge at this time; kinds are given with their matches that worked and failed.
    pub(super) fn new(
        wall: SystemTime,
        kinds: impl Iterator<Item = (MatchKind, [f64; 2])>,
    ) -> Self {
        let saved = wall.duration_since(SystemTime::UNIX_EPOCH);
        let kinds = kinds.filter(|(_, [worked, failed])| worked + failed >= VOTES_MIN);
        let kinds = kinds.map(|(kind, counts)| SavedKind::new(kind, counts));
        let mut kinds: Vec<_> = kinds.collect();
        kinds.sort_unstable_by_key(SavedKind::order);
        Self {
            version: VERSION,
            saved: saved.unwrap_or_default().as_secs(),
            kinds,
        }
    }

    /// The content of the file.
    pub fn encode(&self) -> String {
        // Numbers and strings can always be written as JSON.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// Reads the content of a file.
    pub fn decode(content: &[u8]) -> Result<Self, InvalidSavedOutcomes> {
        let saved: Self = serde_json::from_slice(content)?;
        if saved.version != VERSION {
            return Err(InvalidSavedOutcomes::Version(saved.version));
        }
        Ok(saved)
    }

    /// The time since the save.
    pub(super) fn age(&self, wall: SystemTime) -> Duration {
        let saved = SystemTime::UNIX_EPOCH + Duration::from_secs(self.saved);
        wall.duration_since(saved).unwrap_or_default()
    }

    /// The kinds, with their matches that worked and failed. Types that are not told apart
    /// any more are left out.
    pub(super) fn kinds<'a>(
        &'a self,
        types: &'a ProxyTypes,
    ) -> impl Iterator<Item = (MatchKind, [f64; 2])> + 'a {
        self.kinds.iter().filter_map(|saved| {
            let kind = MatchKind {
                proxy_type: types.named(&saved.proxy_type)?,
                proxy: class(&saved.proxy)?,
                client: class(&saved.client)?,
                country: saved.country,
            };
            Some((
                kind,
                [saved.worked, saved.failed].map(|count| count.max(0.0)),
            ))
        })
    }
}

impl SavedKind {
    fn new(kind: MatchKind, [worked, failed]: [f64; 2]) -> Self {
        Self {
            proxy_type: kind.proxy_type.to_string(),
            proxy: kind.proxy.as_str().to_owned(),
            client: kind.client.as_str().to_owned(),
            country: kind.country,
            worked: rounded(worked),
            failed: rounded(failed),
        }
    }

    /// A stable order.
    fn order(&self) -> (String, String, String, CountryCode) {
        let [proxy_type, proxy, client] = [&self.proxy_type, &self.proxy, &self.client];
        (
            proxy_type.clone(),
            proxy.clone(),
            client.clone(),
            self.country,
        )
    }
}

/// Rounded up to a multiple of 8, as the published figures are.
fn rounded(count: f64) -> f64 {
    (count / 8.0).ceil() * 8.0
}

fn class(name: &str) -> Option<NatClass> {
    NatClass::ALL
        .into_iter()
        .find(|class| class.as_str() == name)
}
