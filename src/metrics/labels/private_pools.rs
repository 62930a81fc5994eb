//! Labels of counters about private pools.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// A private pool's name in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrivatePoolName(Arc<str>);

impl From<&str> for PrivatePoolName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for PrivatePoolName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl EncodeLabelValue for PrivatePoolName {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(&self.0)
    }
}
