//! Labels and their words.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A label with a known set of values, each with a word for it.
pub(crate) trait Label: Copy + Ord + 'static {
    const ALL: &'static [Self];

    fn word(self) -> &'static str;

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|label| label.word() == word).copied()
    }
}

/// Labels of our own, each value with its word.
macro_rules! words {
    ($($label:ident { $($value:ident = $word:literal),+ $(,)? })+) => {
        $(impl Label for $label {
            const ALL: &'static [Self] = &[$(Self::$value),+];

            fn word(self) -> &'static str {
                match self {
                    $(Self::$value => $word),+
                }
            }
        })+
        words!(@encode $($label),+);
    };
    // Lets Prometheus be told the words.
    (@encode $($label:ident),+) => {$(
        impl prometheus_client::encoding::EncodeLabelValue for $label {
            fn encode(
                &self,
                encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
            ) -> std::fmt::Result {
                std::fmt::Write::write_str(encoder, self.word())
            }
        }
    )+};
}

/// Labels whose words are those on the wire, or of a service.
macro_rules! words_of_the_wire {
    ($($label:ident),+) => {
        $(impl Label for $label {
            const ALL: &'static [Self] = &$label::ALL;

            fn word(self) -> &'static str {
                self.as_str()
            }
        })+
        words!(@encode $($label),+);
    };
}

pub(crate) use {words, words_of_the_wire};

/// Writes a map with the labels' words as keys, for serde's `with`.
pub(crate) fn serialize<L: Label, T: Serialize, S: Serializer>(
    map: &BTreeMap<L, T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(map.iter().map(|(label, value)| (label.word(), value)))
}

/// Reads such a map; a word that is not known is an error.
pub(crate) fn deserialize<'de, L: Label, T: Deserialize<'de>, D: Deserializer<'de>>(
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
