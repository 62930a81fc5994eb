//! Settings of the policy: the rules and their bounds.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::geoip::CountryCode;
use crate::report::SettingsReport;
use crate::wire::nat::NatType;
use crate::wire::proxy::TYPE_NAME_MAX;
use crate::wire::rendezvous_method::Rendezvous;

use super::generation::Generation;
use super::rules_in_force::CANDIDATES_MAX;

/// Maximum number of rules.
pub const RULES_MAX: usize = 64;
/// Maximum length of a rule's name, in bytes.
const NAME_MAX: usize = 64;
/// The bounds of `share`.
const SHARES: RangeInclusive<f64> = 0.0..=1.0;
/// The bounds of `reserve`: no more polls are looked at.
const RESERVES: RangeInclusive<usize> = 0..=CANDIDATES_MAX;

/// The name under which `same_country_and_network` is counted.
pub const SAME_PLACE_NAME: &str = "same_country_and_network";

/// The operators' rules: who is preferred for whom, who comes last, who is denied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The rules. Of those that prefer a proxy or put it last, the first that applies
    /// decides.
    pub rules: Vec<RuleSettings>,
    /// The treatment of proxies in the client's own country and network.
    pub same_country_and_network: SamePlace,
    /// The number of favored polls below which a preference counts for nothing.
    pub reserve: usize,
}

/// The treatment of proxies in the client's own country and network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamePlace {
    /// They are served like all others.
    #[default]
    None,
    /// They come last.
    Last,
}

impl SamePlace {
    /// The word in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Last => "last",
        }
    }
}

/// A rule. It applies to a client and a proxy that meet all its conditions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// The name in metrics.
    pub name: String,
    /// The conditions on the client; without any, every client meets them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub client: ClientConditions,
    /// The conditions on the proxy.
    #[serde(default, skip_serializing_if = "is_default")]
    pub proxy: ProxyConditions,
    /// The action.
    pub action: RuleAction,
    /// The share of a pool's matches that the rule may decide, from 0 to 1.
    #[serde(default = "whole", skip_serializing_if = "is_whole")]
    pub share: f64,
}

/// The action of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// The proxy comes before others.
    Prefer,
    /// The proxy comes after others.
    Last,
    /// The proxy never gets the client.
    Deny,
}

impl RuleAction {
    /// All actions.
    pub const ALL: [Self; 3] = [Self::Prefer, Self::Last, Self::Deny];

    /// The word in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prefer => "prefer",
            Self::Last => "last",
            Self::Deny => "deny",
        }
    }
}

/// Conditions on a client. A list is met by any of its values, and an empty one by
/// everybody.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConditions {
    /// The countries.
    #[serde(skip_serializing_if = "is_default")]
    pub countries: Vec<CountryCode>,
    /// A file with networks. Together with `asns` it is one condition, which either meets.
    #[serde(skip_serializing_if = "is_default")]
    pub networks: Option<PathBuf>,
    /// The numbers of autonomous systems.
    #[serde(skip_serializing_if = "is_default")]
    pub asns: Vec<u32>,
    /// The NAT words that the client sends.
    #[serde(skip_serializing_if = "is_default", with = "nat_words")]
    pub nat: Vec<NatType>,
    /// The rendezvous methods.
    #[serde(skip_serializing_if = "is_default", with = "rendezvous_words")]
    pub rendezvous: Vec<Rendezvous>,
}

/// Conditions on a proxy, read like those on a client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProxyConditions {
    /// The countries.
    #[serde(skip_serializing_if = "is_default")]
    pub countries: Vec<CountryCode>,
    /// A file with networks. Together with `asns` it is one condition, which either meets.
    #[serde(skip_serializing_if = "is_default")]
    pub networks: Option<PathBuf>,
    /// The numbers of autonomous systems.
    #[serde(skip_serializing_if = "is_default")]
    pub asns: Vec<u32>,
    /// The types as proxies spell them, or the beginning of types and a `*`.
    #[serde(skip_serializing_if = "is_default")]
    pub types: Vec<String>,
    /// The NAT words that the proxy sends.
    #[serde(skip_serializing_if = "is_default", with = "nat_words")]
    pub nat: Vec<NatType>,
    /// The generations.
    #[serde(skip_serializing_if = "is_default")]
    pub generation: Vec<Generation>,
}

impl Settings {
    /// Reports invalid rules.
    pub fn check(&self, report: &mut SettingsReport) {
        if self.rules.len() > RULES_MAX {
            let problem = format!(
                "must be {RULES_MAX} rules or fewer, not {}",
                self.rules.len()
            );
            report.refuse(&["rules"], problem);
        }
        let wrong_name = self.rules.iter().find(|rule| !is_name(&rule.name));
        report.refuse_if(
            "rules",
            wrong_name.map(|rule| {
                format!(
                    "must have names of 1 to {NAME_MAX} of a-z, 0-9, _ and -, not {:?}",
                    rule.name
                )
            }),
        );
        let mut names = BTreeSet::from([SAME_PLACE_NAME]);
        let twice = self.rules.iter().find(|rule| !names.insert(&rule.name));
        report.refuse_if(
            "rules",
            twice.map(|rule| format!("must not have the name {:?} twice", rule.name)),
        );
        for rule in self.rules.iter().filter(|rule| is_name(&rule.name)) {
            report.section(&format!("rules.{}", rule.name), |report| rule.check(report));
        }
        report.within("reserve", self.reserve, &RESERVES);
    }

    /// The files with networks that rules name, each once, and the first rule that names
    /// it.
    pub fn network_files(&self) -> Vec<(&str, &Path)> {
        let mut seen = BTreeSet::new();
        let named = self.rules.iter().flat_map(|rule| {
            let files = [&rule.client.networks, &rule.proxy.networks];
            let files = files.into_iter().flatten();
            files.map(|path| (&*rule.name, path.as_path()))
        });
        named.filter(|(_, path)| seen.insert(*path)).collect()
    }

    /// Returns true if a rule asks for a country.
    pub fn asks_for_countries(&self) -> bool {
        let asks = |rule: &RuleSettings| {
            !rule.client.countries.is_empty() || !rule.proxy.countries.is_empty()
        };
        self.rules.iter().any(asks)
    }

    /// Returns true if a rule asks for an autonomous system.
    pub fn asks_for_asns(&self) -> bool {
        let asks =
            |rule: &RuleSettings| !rule.client.asns.is_empty() || !rule.proxy.asns.is_empty();
        self.rules.iter().any(asks)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            same_country_and_network: SamePlace::None,
            reserve: 8,
        }
    }
}

impl RuleSettings {
    fn check(&self, report: &mut SettingsReport) {
        if self.proxy == ProxyConditions::default() {
            let problem = "must have a condition, or the rule would mean all proxies alike";
            report.refuse(&["proxy"], problem);
        }
        report.within("share", self.share, &SHARES);
        if self.action == RuleAction::Deny && !is_whole(&self.share) {
            report.refuse(
                &["share"],
                "must not be set for deny, which is never lifted",
            );
        }
        if self.client.asns.contains(&0) || self.proxy.asns.contains(&0) {
            report.refuse(&["asns"], "must be numbers of autonomous systems, not 0");
        }
        let wrong_type = self.proxy.types.iter().find(|name| !is_type_pattern(name));
        report.refuse_if(
            "proxy.types",
            wrong_type.map(|name| {
                format!("must be names of 1 to {TYPE_NAME_MAX} bytes, with * at the end only, not {name:?}")
            }),
        );
    }
}

fn is_name(name: &str) -> bool {
    let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"_-".contains(&c);
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

fn is_type_pattern(name: &str) -> bool {
    let start = name.strip_suffix('*').unwrap_or(name);
    !name.is_empty() && start.len() <= TYPE_NAME_MAX && !start.contains('*')
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn whole() -> f64 {
    1.0
}

#[expect(clippy::float_cmp, reason = "the default exactly")]
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference to the field"
)]
fn is_whole(share: &f64) -> bool {
    *share == whole()
}

/// Lists of words that have no serde form of their own.
macro_rules! words {
    ($module:ident, $word:ty, $expected:literal) => {
        mod $module {
            use serde::{Deserialize as _, Deserializer, Serializer, de};

            use super::*;

            pub(super) fn serialize<S: Serializer>(
                words: &[$word],
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(words.iter().map(|word| word.as_str()))
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Vec<$word>, D::Error> {
                let words = Vec::<String>::deserialize(deserializer)?;
                let known = |word: &String| {
                    let mut all = <$word>::ALL.into_iter();
                    all.find(|known| known.as_str() == word).ok_or_else(|| {
                        de::Error::invalid_value(de::Unexpected::Str(word), &$expected)
                    })
                };
                words.iter().map(known).collect()
            }
        }
    };
}

words!(
    nat_words,
    NatType,
    "NAT words (open, moderate, strict, unrestricted, restricted, unknown)"
);
words!(
    rendezvous_words,
    Rendezvous,
    "rendezvous methods (http, ampcache, sqs)"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Settings {
        toml::from_str(text).unwrap()
    }

    fn problems(settings: &Settings) -> Vec<String> {
        let mut report = SettingsReport::default();
        settings.check(&mut report);
        let errors = report.errors.iter();
        let told = errors.map(|issue| format!("{}: {issue}", issue.keys[0]));
        told.collect()
    }

    #[test]
    fn rules_that_mean_something_are_taken() {
        let settings = rules(
            "same_country_and_network = 'last'\nreserve = 0\n[[rules]]\nname = 'a-1_b'\n\
             action = 'prefer'\nshare = 0.25\nclient = { countries = ['ru'], nat = ['strict'], \
             rendezvous = ['sqs'], networks = '/a', asns = [1] }\nproxy = { types = ['orbot-*'], \
             generation = ['old', 'unknown'], nat = ['unknown'] }\n",
        );
        assert_eq!(problems(&settings), [""; 0]);
        assert_eq!(settings.network_files(), [("a-1_b", Path::new("/a"))]);
        assert!(settings.asks_for_countries() && settings.asks_for_asns());
        let written = toml::to_string(&settings).unwrap();
        assert_eq!(rules(&written), settings);
    }

    #[test]
    fn rules_that_could_not_be_meant_are_refused() {
        let settings = rules(
            "reserve = 65\n[[rules]]\nname = 'a'\naction = 'prefer'\nshare = 2\n\
             [[rules]]\nname = 'b'\naction = 'deny'\nshare = 0.5\nproxy.types = ['a*b']\n\
             [[rules]]\nname = 'b'\naction = 'last'\nproxy.asns = [0]\n\
             [[rules]]\nname = 'B b'\naction = 'last'\nproxy.asns = [1]\n",
        );
        assert_eq!(
            problems(&settings),
            [
                "rules: must have names of 1 to 64 of a-z, 0-9, _ and -, not \"B b\"",
                "rules: must not have the name \"b\" twice",
                "rules.a.proxy: must have a condition, or the rule would mean all proxies alike",
                "rules.a.share: must be between 0 and 1 (got 2)",
                "rules.b.share: must not be set for deny, which is never lifted",
                "rules.b.proxy.types: must be names of 1 to 64 bytes, with * at the end only, not \
                 \"a*b\"",
                "rules.b.asns: must be numbers of autonomous systems, not 0",
                "reserve: must be between 0 and 64 (got 65)",
            ]
        );
    }

    #[test]
    fn the_number_of_rules_is_bounded() {
        let rule =
            |number| format!("[[rules]]\nname = 'r{number}'\naction = 'last'\nproxy.asns = [1]\n");
        let text: String = (0..=RULES_MAX).map(rule).collect();
        assert_eq!(
            problems(&rules(&text)),
            ["rules: must be 64 rules or fewer, not 65"]
        );
    }

    #[test]
    fn the_name_of_the_setting_is_taken() {
        let named =
            format!("[[rules]]\nname = '{SAME_PLACE_NAME}'\naction = 'last'\nproxy.asns = [1]\n");
        assert_eq!(
            problems(&rules(&named)),
            ["rules: must not have the name \"same_country_and_network\" twice"]
        );
    }
}
