//! Roles of administration callers.

use serde::{Deserialize, Serialize};

/// The rights of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdminRole {
    /// May read.
    Viewer,
    /// May read and make changes.
    Operator,
}
