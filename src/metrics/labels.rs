//! By what things are counted.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::wire::nat::NatType;
use crate::wire::proxy::ProxyType;

/// The way by which a client's poll came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rendezvous {
    /// Straight to `/client`.
    Http,
    /// Through an AMP cache.
    Ampcache,
    /// Through Amazon SQS.
    Sqs,
}

impl Rendezvous {
    /// All of them, in the order of the metrics log.
    pub const ALL: [Self; 3] = [Self::Http, Self::Ampcache, Self::Sqs];

    /// The word in the metrics log and in Prometheus labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Ampcache => "ampcache",
            Self::Sqs => "sqs",
        }
    }
}

impl fmt::Display for Rendezvous {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A label with a known set of values, each with a word for it.
pub(super) trait Label: Copy + Ord + 'static {
    const ALL: &'static [Self];

    fn word(self) -> &'static str;

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|label| label.word() == word).copied()
    }
}

impl Label for Rendezvous {
    const ALL: &'static [Self] = &Rendezvous::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Label for NatType {
    const ALL: &'static [Self] = &NatType::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Label for ProxyType {
    const ALL: &'static [Self] = &ProxyType::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// Writes a map with the labels' words as keys, for serde's `with`.
pub(super) fn serialize<L: Label, T: Serialize, S: Serializer>(
    map: &BTreeMap<L, T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(map.iter().map(|(label, value)| (label.word(), value)))
}

/// Reads such a map; a word that is not known is an error.
pub(super) fn deserialize<'de, L: Label, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<L, T>, D::Error> {
    BTreeMap::<String, T>::deserialize(deserializer)?
        .into_iter()
        .map(|(word, value)| match L::from_word(&word) {
            Some(label) => Ok((label, value)),
            None => Err(de::Error::custom("a label is not known")),
        })
        .collect()
}
