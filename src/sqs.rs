//! Rendezvous through Amazon SQS. So far only the settings, so that the flags
//! of the reference broker are understood; a broker that is told to use them
//! says that it cannot yet.

use serde::{Deserialize, Serialize};

/// The queue that clients write to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Its name; none means no SQS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_name: Option<String>,
    /// Its region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The AWS profiles to poll it with; none means the default credentials.
    pub profiles: Vec<String>,
}
