//! Labels of counters about the rules of the policy.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use super::word::{Label, labels, words};

/// A rule's name in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleLabel(Arc<str>);

impl From<&str> for RuleLabel {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl EncodeLabelValue for RuleLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(&self.0)
    }
}

labels! {
    /// A rule's part in a match, and the outcome of a match that it decided.
    pub enum RuleResult {
        /// The rule decided the match: without it, an earlier poll would have got the client.
        Hit = "hit",
        /// The rule counted for nothing in this match, because too few polls were favored.
        Softened = "softened",
        /// The proxy of a match that the rule decided answered in time.
        Answered = "answered",
        /// The client of such a match did not come back.
        Worked = "worked",
        /// The client of such a match came back soon, or had no answer.
        Failed = "failed",
    }
}
