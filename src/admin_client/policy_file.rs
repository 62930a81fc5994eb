//! The file form of the policy: the section of a configuration.

use serde::{Deserialize, Serialize};

use crate::policy::Settings;

/// The part of a configuration that has the rules.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyFile {
    pub(super) policy: Settings,
}
