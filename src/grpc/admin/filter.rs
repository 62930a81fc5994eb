//! Filters for parked polls: conditions joined by `AND`, a subset of AIP-160.

use std::str::FromStr;
use std::time::Duration;

use crate::broker::ParkedPollDetails;
use crate::geoip::CountryCode;
use crate::wire::nat::{NatClass, NatType};
use crate::wire::proxy::{ProxyType, ProxyTypes};

/// The conditions, all of which a poll must meet.
#[derive(Debug, Default)]
pub(super) struct Filter(Vec<Condition>);

/// The error for an invalid filter.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidFilter {
    /// Not `FIELD OPERATOR VALUE`.
    #[error("must be conditions such as `nat = open`, joined by AND, not {0:?}")]
    Form(String),
    /// A field that does not exist.
    #[error("unknown field {0:?}, there are: type, nat, pool, country, clients, waiting")]
    Field(String),
    /// An operator that does not apply to the field.
    #[error("{0} can only be compared with = and !=")]
    Operator(&'static str),
    /// An invalid value for the field.
    #[error("{0} cannot be {1:?}")]
    Value(&'static str, String),
}

#[derive(Debug)]
enum Condition {
    Type(bool, ProxyType),
    Nat(bool, NatType),
    Pool(bool, NatClass),
    Country(bool, CountryCode),
    Clients(Comparison, u64),
    Waiting(Comparison, Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

/// Each operator comes before its own prefixes.
const OPERATORS: [(&str, Comparison); 6] = [
    ("!=", Comparison::Unequal),
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("=", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::More),
];

impl Filter {
    /// Parses a filter for a broker that tells these types apart; an empty text matches
    /// every poll.
    pub(super) fn parse(text: &str, types: &ProxyTypes) -> Result<Self, InvalidFilter> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let conditions = text.split(" AND ");
        let conditions = conditions.map(|condition| Condition::parse(condition, types));
        conditions.collect::<Result<_, _>>().map(Self)
    }

    /// Returns true if a poll that has waited this long meets the conditions.
    pub(super) fn passes(&self, poll: &ParkedPollDetails, waiting: Duration) -> bool {
        self.0
            .iter()
            .all(|condition| condition.is_met(poll, waiting))
    }
}

impl Condition {
    fn parse(text: &str, types: &ProxyTypes) -> Result<Self, InvalidFilter> {
        let form = || InvalidFilter::Form(text.trim().to_owned());
        let at = text.find(['!', '<', '>', '=']).ok_or_else(form)?;
        let (field, rest) = text.split_at(at);
        let operator = OPERATORS
            .iter()
            .find_map(|(word, comparison)| Some((*comparison, rest.strip_prefix(word)?)));
        let (comparison, value) = operator.ok_or_else(form)?;
        let value = value.trim();
        let value = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'))
            .unwrap_or(value);
        if value.is_empty() {
            return Err(form());
        }
        match field.trim() {
            "type" => {
                let kind = types
                    .named(value)
                    .ok_or_else(|| InvalidFilter::Value("type", value.to_owned()))?;
                Ok(Self::Type(is_equality("type", comparison)?, kind))
            }
            "nat" => word("nat", comparison, value).map(|(is, word)| Self::Nat(is, word)),
            "country" => {
                word("country", comparison, value).map(|(is, word)| Self::Country(is, word))
            }
            "pool" => {
                let is_pool = |pool: &NatClass| pool.as_str() == value;
                let pool = NatClass::ALL.into_iter().find(is_pool);
                let pool = pool.ok_or_else(|| InvalidFilter::Value("pool", value.to_owned()))?;
                Ok(Self::Pool(is_equality("pool", comparison)?, pool))
            }
            "clients" => number("clients", value.parse().ok(), value)
                .map(|clients| Self::Clients(comparison, clients)),
            "waiting" => number("waiting", humantime::parse_duration(value).ok(), value)
                .map(|waiting| Self::Waiting(comparison, waiting)),
            other => Err(InvalidFilter::Field(other.to_owned())),
        }
    }

    fn is_met(&self, poll: &ParkedPollDetails, waiting: Duration) -> bool {
        match *self {
            Self::Type(is, word) => (poll.poll.proxy_type == word) == is,
            Self::Nat(is, word) => (poll.poll.nat == word) == is,
            Self::Pool(is, class) => (NatClass::of(poll.poll.nat) == class) == is,
            Self::Country(is, word) => (poll.country == word) == is,
            Self::Clients(comparison, clients) => comparison.holds(&poll.poll.clients, &clients),
            Self::Waiting(comparison, span) => comparison.holds(&waiting, &span),
        }
    }
}

impl Comparison {
    fn holds<T: Ord>(self, value: &T, other: &T) -> bool {
        match self {
            Self::Equal => value == other,
            Self::Unequal => value != other,
            Self::Less => value < other,
            Self::AtMost => value <= other,
            Self::More => value > other,
            Self::AtLeast => value >= other,
        }
    }
}

/// The word, and true if the field must equal it.
fn word<T: FromStr>(
    field: &'static str,
    comparison: Comparison,
    value: &str,
) -> Result<(bool, T), InvalidFilter> {
    let word = value
        .parse()
        .map_err(|_| InvalidFilter::Value(field, value.to_owned()))?;
    Ok((is_equality(field, comparison)?, word))
}

fn is_equality(field: &'static str, comparison: Comparison) -> Result<bool, InvalidFilter> {
    match comparison {
        Comparison::Equal => Ok(true),
        Comparison::Unequal => Ok(false),
        _ => Err(InvalidFilter::Operator(field)),
    }
}

fn number<T>(field: &'static str, number: Option<T>, value: &str) -> Result<T, InvalidFilter> {
    number.ok_or_else(|| InvalidFilter::Value(field, value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching;
    use crate::policy::Generation;

    #[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
    fn passes(filter: &str) -> bool {
        let poll = ParkedPollDetails {
            poll: matching::ParkedPoll {
                proxy_type: ProxyType::WEBEXT,
                nat: NatType::Unrestricted,
                clients: 3,
                arrival: 1,
            },
            country: "DE".parse().unwrap(),
            generation: Generation::Unknown,
            arrived: std::time::Instant::now(),
        };
        let filter = Filter::parse(filter, &ProxyTypes::default()).unwrap();
        filter.passes(&poll, Duration::from_millis(2500))
    }

    #[test]
    fn conditions_are_met_or_not() {
        for met in [
            "",
            "  ",
            "type = webext",
            "type=\"webext\"",
            "nat=unrestricted AND pool = open",
            "pool != strict",
            "country = DE",
            "clients >= 3 AND clients <= 3 AND clients < 4 AND clients > 2",
            "waiting > 2s AND waiting = 2.5s",
            "waiting <= 2s 500ms",
        ] {
            assert!(passes(met), "{met}");
        }
        for unmet in [
            "type != webext",
            "nat = restricted",
            "pool = moderate",
            "country = FR",
            "clients != 3",
            "clients > 3",
            "waiting < 2.5s",
            "pool = open AND clients = 0",
        ] {
            assert!(!passes(unmet), "{unmet}");
        }
    }

    #[test]
    fn the_culprit_is_named() {
        for (filter, error) in [
            (
                "open",
                "must be conditions such as `nat = open`, joined by AND, not \"open\"",
            ),
            (
                "nat = open AND ",
                "must be conditions such as `nat = open`, joined by AND, not \"\"",
            ),
            (
                "nat =",
                "must be conditions such as `nat = open`, joined by AND, not \"nat =\"",
            ),
            (
                "sid = x",
                "unknown field \"sid\", there are: type, nat, pool, country, clients, waiting",
            ),
            ("nat < open", "nat can only be compared with = and !="),
            ("pool < open", "pool can only be compared with = and !="),
            ("nat = Open", "nat cannot be \"Open\""),
            ("pool = restricted", "pool cannot be \"restricted\""),
            ("clients = -1", "clients cannot be \"-1\""),
            ("waiting > soon", "waiting cannot be \"soon\""),
        ] {
            assert_eq!(
                Filter::parse(filter, &ProxyTypes::default())
                    .unwrap_err()
                    .to_string(),
                error
            );
        }
    }
}
