//! Label enums and the words of their values.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A label with a fixed set of values, each of which has a word.
pub(crate) trait Label: Copy + Ord + 'static {
    const ALL: &'static [Self];

    fn word(self) -> &'static str;

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|label| label.word() == word).copied()
    }
}

/// Defines label enums, each value with its word.
macro_rules! labels {
    ($(
        $(#[$meta:meta])*
        pub enum $label:ident { $($(#[$value_meta:meta])* $value:ident = $word:literal,)+ }
    )+) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
            pub enum $label {
                $($(#[$value_meta])* $value,)+
            }

            impl $label {
                /// All values, in order.
                pub const ALL: [Self; [$($word),+].len()] = [$(Self::$value),+];

                /// The word used in Prometheus labels and wherever else the value is
                /// written.
                pub fn as_str(self) -> &'static str {
                    match self {
                        $(Self::$value => $word),+
                    }
                }
            }

            impl std::fmt::Display for $label {
                fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    formatter.write_str(self.as_str())
                }
            }
        )+
        words!($($label),+);
    };
}

/// Implements [`Label`] for enums that already have words.
macro_rules! words {
    ($($label:ident),+) => {$(
        impl Label for $label {
            const ALL: &'static [Self] = &$label::ALL;

            fn word(self) -> &'static str {
                self.as_str()
            }
        }

        impl prometheus_client::encoding::EncodeLabelValue for $label {
            fn encode(
                &self,
                encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
            ) -> std::fmt::Result {
                std::fmt::Write::write_str(encoder, self.as_str())
            }
        }
    )+};
}

pub(crate) use {labels, words};

/// Serializes a map with the labels' words as keys, for serde's `with`.
pub(crate) fn serialize<L: Label, T: Serialize, S: Serializer>(
    map: &BTreeMap<L, T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(map.iter().map(|(label, value)| (label.word(), value)))
}

/// Deserializes such a map; an unknown word is an error.
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
