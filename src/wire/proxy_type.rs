//! The types of programs that proxies say they are.

use std::fmt;
use std::sync::Arc;

/// The type of program that a proxy is, one of a [`ProxyTypes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProxyType(&'static str);

impl ProxyType {
    /// A web page with a badge.
    pub const BADGE: Self = Self("badge");
    /// The BLOCO app.
    pub const BLOCO: Self = Self("bloco");
    /// Apps that embed IPtProxy and do not say which they are.
    pub const IPTPROXY: Self = Self("iptproxy");
    /// Orbot on Android.
    pub const ORBOT_ANDROID: Self = Self("orbot-android");
    /// Orbot on iOS.
    pub const ORBOT_IOS: Self = Self("orbot-ios");
    /// Orbot on macOS.
    pub const ORBOT_MACOS: Self = Self("orbot-macos");
    /// The command-line program.
    pub const STANDALONE: Self = Self("standalone");
    /// The browser extension.
    pub const WEBEXT: Self = Self("webext");
    /// Any other word.
    pub const UNKNOWN: Self = Self("unknown");

    /// The types that are told apart by default, by name, and the unknown one last.
    pub const DEFAULT: [Self; 9] = [
        Self::BADGE,
        Self::BLOCO,
        Self::IPTPROXY,
        Self::ORBOT_ANDROID,
        Self::ORBOT_IOS,
        Self::ORBOT_MACOS,
        Self::STANDALONE,
        Self::WEBEXT,
        Self::UNKNOWN,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for ProxyType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// Maximum number of types that are told apart, besides the unknown one. Each has its
/// series in the metrics.
pub const TYPES_MAX: usize = 16;

/// The types that are told apart. A proxy can say that it is anything, so all other words
/// count as one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyTypes(Arc<[ProxyType]>);

impl ProxyTypes {
    /// The types of these names, of which the first [`TYPES_MAX`] count. Names that are not
    /// among the default ones are kept until the program ends, so that a type can be copied
    /// like a number.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut types: Vec<ProxyType> = names.into_iter().take(TYPES_MAX).map(interned).collect();
        types.sort_unstable();
        types.dedup();
        types.retain(|known| *known != ProxyType::UNKNOWN);
        types.push(ProxyType::UNKNOWN);
        Self(types.into())
    }

    /// Reads a field. An unlisted word means [`ProxyType::UNKNOWN`].
    pub fn from_field(&self, word: Option<&str>) -> ProxyType {
        let word = word.unwrap_or_default();
        self.named(word).unwrap_or(ProxyType::UNKNOWN)
    }

    /// The type of this name.
    pub fn named(&self, name: &str) -> Option<ProxyType> {
        let mut types = self.iter();
        types.find(|known| known.0 == name)
    }

    /// All types, by name, and the unknown one last.
    pub fn iter(&self) -> impl Iterator<Item = ProxyType> + Clone + use<'_> {
        self.0.iter().copied()
    }
}

impl Default for ProxyTypes {
    fn default() -> Self {
        Self(ProxyType::DEFAULT.into())
    }
}

fn interned(name: &str) -> ProxyType {
    let known = ProxyType::DEFAULT.into_iter().find(|known| known.0 == name);
    known.unwrap_or_else(|| ProxyType(Box::leak(name.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_words_are_told_apart_and_all_others_are_one() {
        let types = ProxyTypes::new(["webext", "my-app", "webext", "unknown"]);
        let names: Vec<_> = types.iter().map(ProxyType::as_str).collect();
        assert_eq!(names, ["my-app", "webext", "unknown"]);
        for (word, expected) in [
            (Some("webext"), "webext"),
            (Some("my-app"), "my-app"),
            (Some("My-App"), "unknown"),
            (Some("badge"), "unknown"),
            (Some(""), "unknown"),
            (None, "unknown"),
        ] {
            assert_eq!(types.from_field(word).as_str(), expected, "{word:?}");
        }
        assert_eq!(types.named("webext"), Some(ProxyType::WEBEXT));
        assert_eq!(types.named("badge"), None);
    }

    #[test]
    fn the_number_of_types_is_bounded() {
        let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let types = ProxyTypes::new(names.iter().map(String::as_str));
        assert_eq!(types.iter().count(), TYPES_MAX + 1);
    }

    #[test]
    fn without_a_list_there_are_the_types_of_2026() {
        let names = ProxyType::DEFAULT.map(ProxyType::as_str);
        assert_eq!(ProxyTypes::new(names), ProxyTypes::default());
    }
}
