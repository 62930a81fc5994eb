//! Generations of proxy programs.

use serde::{Deserialize, Serialize};

use crate::wire::nat::NatType;

/// The generation of a proxy program, as far as its behavior shows it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Generation {
    /// It uses the three NAT words (`open`, `moderate`, `strict`): newer than 2.14.1.
    ThreeNatWords,
    /// It came back at the interval that it was told: a Go program since 2.14.0.
    ObeysInterval,
    /// A Go program that came back much sooner than it was told: before 2.14.0.
    Old,
    /// Nothing is known of it yet, or it is a type that does not show its age.
    #[default]
    Unknown,
}

impl Generation {
    /// All generations.
    pub const ALL: [Self; 4] = [
        Self::ThreeNatWords,
        Self::ObeysInterval,
        Self::Old,
        Self::Unknown,
    ];

    /// The word in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ThreeNatWords => "three_nat_words",
            Self::ObeysInterval => "obeys_interval",
            Self::Old => "old",
            Self::Unknown => "unknown",
        }
    }

    /// The generation of a proxy that says this of its NAT, if `seen` is what its returns
    /// have shown.
    pub fn of(nat: NatType, seen: Self) -> Self {
        match nat {
            NatType::Open | NatType::Moderate | NatType::Strict => Self::ThreeNatWords,
            NatType::Restricted | NatType::Unrestricted | NatType::Unknown => seen,
        }
    }
}

/// Returns true for types of programs in Go, by the name that the proxy sends. Web
/// extensions and badges poll at an interval of their own in every release.
pub fn is_go(type_name: &str) -> bool {
    matches!(type_name, "standalone" | "iptproxy" | "bloco") || type_name.starts_with("orbot-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_settings() {
        for generation in Generation::ALL {
            let word = serde_json::to_value(generation).unwrap();
            assert_eq!(word, generation.as_str());
        }
    }

    #[test]
    fn the_words_of_its_nat_tell_more_than_returns() {
        for seen in Generation::ALL {
            assert_eq!(
                Generation::of(NatType::Strict, seen),
                Generation::ThreeNatWords
            );
            assert_eq!(Generation::of(NatType::Restricted, seen), seen);
        }
        assert!(is_go("orbot-ios") && is_go("standalone") && !is_go("webext") && !is_go(""));
    }
}
