//! Settings of private pools.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::SystemTime;

use prost_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::report::{COUNT_MAX, SettingsReport};
use crate::wire::relay_pattern::RelayPattern;

/// The maximum number of private pools: each has counters of its own.
pub const POOLS_MAX: usize = 256;
/// The maximum length of a name.
const NAME_MAX: usize = 63;
/// The maximum of [`PoolSettings::clients_per_minute`].
const PER_MINUTE_MAX: u32 = 1_000_000;

const LIST: &str = "list";

/// The private pools.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The pools. In a file, each may be a table `[[pools]]`.
    pub list: Vec<PoolSettings>,
}

/// A private pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolSettings {
    /// The name in metrics and in the log.
    pub name: String,
    /// The file with the token, or with two, one a line.
    pub token_file: PathBuf,
    /// The file with the pool's bridges. If unset, it has those of the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge_list_path: Option<PathBuf>,
    /// The relays that every proxy of the pool has to accept. If unset, those of the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_relay_pattern: Option<String>,
    /// The relays that a proxy is taken to accept if its poll has no pattern. If unset, those
    /// of the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_relay_pattern: Option<String>,
    /// The maximum number of parked polls.
    #[serde(default = "default_parked_polls")]
    pub max_parked_polls: usize,
    /// The sustained rate of clients, and the number of them that may come at once.
    #[serde(default = "default_clients_per_minute")]
    pub clients_per_minute: NonZeroU32,
    /// The end of the pool (RFC 3339). If unset, it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// The proxies that clients get when none of the pool's is idle.
    #[serde(default)]
    pub overflow: ToPublic,
    /// The clients that idle proxies of the pool get, too.
    #[serde(default)]
    pub spare: ToPublic,
    /// The number of proxies of each NAT class that [`Self::spare`] leaves to the pool.
    #[serde(default = "default_reserve")]
    pub reserve: usize,
}

/// The permission to go beyond a private pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToPublic {
    /// None.
    #[default]
    None,
    /// To those of everybody.
    ToPublic,
}

fn default_parked_polls() -> usize {
    1_000
}

fn default_clients_per_minute() -> NonZeroU32 {
    const PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).unwrap();
    PER_MINUTE
}

fn default_reserve() -> usize {
    4
}

impl Settings {
    /// Reports mistakes, and settings without effect.
    pub fn check(&self, report: &mut SettingsReport) {
        if self.list.len() > POOLS_MAX {
            report.refuse(
                &[LIST],
                format!("must not have more than {POOLS_MAX} pools"),
            );
        }
        let mut names = BTreeSet::new();
        for pool in &self.list {
            if let Some(problem) = pool.problem() {
                report.refuse(&[LIST], format!("{:?} {problem}", pool.name));
            } else if !names.insert(&pool.name) {
                report.refuse(&[LIST], format!("has two pools {:?}", pool.name));
            }
        }
    }
}

impl PoolSettings {
    /// A pool of this name with the default settings and no file of its own.
    pub fn named(name: String) -> Self {
        Self {
            name,
            token_file: PathBuf::new(),
            bridge_list_path: None,
            allowed_relay_pattern: None,
            default_relay_pattern: None,
            max_parked_polls: default_parked_polls(),
            clients_per_minute: default_clients_per_minute(),
            expires: None,
            overflow: ToPublic::None,
            spare: ToPublic::None,
            reserve: default_reserve(),
        }
    }

    /// The first mistake, in words that follow the name.
    pub fn problem(&self) -> Option<String> {
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.name.is_empty() || self.name.len() > NAME_MAX || !self.name.bytes().all(is_plain) {
            return Some(format!(
                "must have a name of 1 to {NAME_MAX} small letters, digits and -"
            ));
        }
        let patterns = [&self.allowed_relay_pattern, &self.default_relay_pattern];
        for pattern in patterns.into_iter().flatten() {
            if let Err(problem) = RelayPattern::checked(pattern) {
                return Some(format!(
                    "has the relay pattern {pattern:?}, which {problem}"
                ));
            }
        }
        if self.expires.is_some() && self.end().is_none() {
            return Some(
                "must have a time such as \"2030-01-31T00:00:00Z\" for expires".to_owned(),
            );
        }
        if self.max_parked_polls > COUNT_MAX || self.reserve > COUNT_MAX {
            return Some(format!(
                "must have at most {COUNT_MAX} for max_parked_polls and reserve"
            ));
        }
        (self.clients_per_minute.get() > PER_MINUTE_MAX)
            .then(|| format!("must have at most {PER_MINUTE_MAX} for clients_per_minute"))
    }

    /// The time from which on the pool is unknown; `None` if it has no end.
    pub fn end(&self) -> Option<SystemTime> {
        let end: Timestamp = self.expires.as_deref()?.parse().ok()?;
        end.try_into().ok()
    }

    /// Returns true if the pool has ended.
    pub fn has_ended(&self, now: SystemTime) -> bool {
        self.end().is_some_and(|end| end <= now)
    }
}
