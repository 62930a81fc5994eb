//! Relay patterns: to which host names a proxy is willing to carry traffic.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// A rule for host names: a suffix, or one exact name where it begins with `^`.
/// A `$` at its end says nothing and is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayPattern {
    exact: bool,
    name: String,
}

impl RelayPattern {
    /// Whether every host name that `other` accepts is accepted here too.
    pub fn is_superset_of(&self, other: &Self) -> bool {
        if self.exact {
            other.exact && self.name == other.name
        } else {
            other.name.ends_with(&self.name)
        }
    }
}

impl From<&str> for RelayPattern {
    fn from(rule: &str) -> Self {
        let rule = rule.strip_suffix('$').unwrap_or(rule);
        let (exact, name) = match rule.strip_prefix('^') {
            Some(name) => (true, name),
            None => (false, rule),
        };
        Self {
            exact,
            name: name.to_owned(),
        }
    }
}

impl FromStr for RelayPattern {
    type Err = Infallible;

    fn from_str(rule: &str) -> Result<Self, Infallible> {
        Ok(Self::from(rule))
    }
}

impl fmt::Display for RelayPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let anchor = if self.exact { "^" } else { "" };
        write!(formatter, "{anchor}{}$", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(proxy: &str, allowed: &str) -> bool {
        RelayPattern::from(proxy).is_superset_of(&RelayPattern::from(allowed))
    }

    #[test]
    fn exact_accepts_only_the_same_exact_name() {
        assert!(accepts("^a.example$", "^a.example"));
        assert!(!accepts("^a.example$", "a.example$"));
        assert!(!accepts("^a.example$", "^b.example$"));
    }

    #[test]
    fn a_suffix_accepts_every_rule_that_ends_with_it() {
        assert!(accepts("example$", "^a.example$"));
        assert!(accepts("example", "a.example$"));
        assert!(accepts("", ""));
        assert!(accepts("", "^a.example$"));
        assert!(!accepts("a.example$", "example$"));
        assert!(!accepts("a.example$", ""));
        assert!(!accepts("A.example$", "a.example$"));
    }

    #[test]
    fn one_dollar_is_dropped() {
        assert!(accepts("example$$", "example$$"));
        assert!(!accepts("example$$", "example"));
        assert_eq!(RelayPattern::from("^a$").to_string(), "^a$");
        assert_eq!(RelayPattern::from("a").to_string(), "a$");
    }
}
