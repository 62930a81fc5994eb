//! Roles of those who call the administration.

use serde::{Deserialize, Serialize};

/// The rights of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdminRole {
    /// To look.
    Viewer,
    /// To look and to change.
    Operator,
}
