//! Relay patterns, which say to which hosts a proxy is willing to carry traffic.

use std::convert::Infallible;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A rule for host names: a suffix, or one exact name if it begins with `^`. A `$` at its
/// end has no meaning and is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayPattern {
    exact: bool,
    name: String,
}

/// The reason why a rule matches no host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRelayPattern {
    /// The rule contains a `*`.
    #[error("must not have a wildcard: write a suffix of host names, such as .example.org$")]
    Wildcard,
    /// The rule is a URL.
    #[error("must be a host name, not a URL: such as ^relay.example.org$")]
    Url,
    /// The rule has another error.
    #[error("must be a suffix of host names, or ^ and one host name")]
    Form,
}

/// Maximum length of a rule. The longest host name has 253 characters.
const LENGTH_MAX: usize = 255;

impl RelayPattern {
    /// Parses a rule that some host name can match; the empty rule matches all. Only
    /// operators' rules are checked. Proxies may send any rule, and one that matches
    /// nothing is refused as not accepting the broker's relays.
    ///
    /// # Errors
    /// The reason why no host name can match, or that the rule is a lone `$`: a rule that
    /// matches every host has to be empty.
    pub fn checked(rule: &str) -> Result<Self, InvalidRelayPattern> {
        let pattern = Self::from(rule);
        let name = &*pattern.name;
        let is_address = name.parse::<Ipv6Addr>().is_ok();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if rule.contains("://") {
            return Err(InvalidRelayPattern::Url);
        }
        if name.contains('*') {
            return Err(InvalidRelayPattern::Wildcard);
        }
        let is_name = name.bytes().all(fits) && rule.len() <= LENGTH_MAX;
        if rule.is_empty() || is_address || is_name && pattern.has_labels() {
            Ok(pattern)
        } else {
            Err(InvalidRelayPattern::Form)
        }
    }

    /// Returns true if the name has no empty label. A suffix may begin with a dot, and
    /// every name may end with one (the root's).
    fn has_labels(&self) -> bool {
        let suffix = self.name.strip_prefix('.').filter(|_| !self.exact);
        let name = suffix.unwrap_or(&self.name);
        let labels = name.strip_suffix('.').unwrap_or(name);
        labels.split('.').all(|label| !label.is_empty())
    }

    /// Returns true if a proxy with this rule carries traffic to the host.
    pub fn accepts(&self, host: &str) -> bool {
        if self.exact {
            self.name == host
        } else {
            host.ends_with(&self.name)
        }
    }

    /// Returns true if this rule accepts every host name that `other` accepts.
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

/// Writes a rule that parses to the same pattern.
impl fmt::Display for RelayPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.exact && self.name.is_empty() {
            return Ok(());
        }
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
    fn hosts_are_accepted_by_their_suffix_or_whole() {
        let accepts = |rule: &str, host| RelayPattern::from(rule).accepts(host);
        assert!(accepts("example.org$", "a.example.org"));
        assert!(accepts("example.org", "example.org"));
        assert!(accepts("", "anything"));
        assert!(accepts("^a.example.org$", "a.example.org"));
        assert!(!accepts("^example.org$", "a.example.org"));
        assert!(!accepts("a.example.org$", "example.org"));
    }

    #[test]
    fn rules_that_fit_no_host_are_told() {
        for rule in [
            "",
            "example.org$",
            "example.org.$",
            ".example.org",
            "^snowflake.torproject.net$",
            "127.0.0.1$",
            "2001:db8::1$",
        ] {
            assert!(RelayPattern::checked(rule).is_ok(), "{rule}");
        }
        for (rule, error) in [
            ("*.example.org", InvalidRelayPattern::Wildcard),
            ("^*.example.org$", InvalidRelayPattern::Wildcard),
            ("wss://a.example/", InvalidRelayPattern::Url),
            ("https://*.example.org", InvalidRelayPattern::Url),
            ("a b", InvalidRelayPattern::Form),
            ("a.example/", InvalidRelayPattern::Form),
            ("a.example:443", InvalidRelayPattern::Form),
            ("^^a.example", InvalidRelayPattern::Form),
            ("a.example$$", InvalidRelayPattern::Form),
            ("^$", InvalidRelayPattern::Form),
            ("$", InvalidRelayPattern::Form),
            (".$", InvalidRelayPattern::Form),
            ("..$", InvalidRelayPattern::Form),
            ("ex..ample$", InvalidRelayPattern::Form),
            ("..example$", InvalidRelayPattern::Form),
            ("example..$", InvalidRelayPattern::Form),
            ("^.example$", InvalidRelayPattern::Form),
            ("^a..example$", InvalidRelayPattern::Form),
            ("\u{fc}.example", InvalidRelayPattern::Form),
            (&"a".repeat(256), InvalidRelayPattern::Form),
        ] {
            assert_eq!(RelayPattern::checked(rule), Err(error), "{rule}");
        }
    }

    #[test]
    fn one_dollar_is_dropped() {
        assert!(accepts("example$$", "example$$"));
        assert!(!accepts("example$$", "example"));
        assert_eq!(RelayPattern::from("^a$").to_string(), "^a$");
        assert_eq!(RelayPattern::from("a").to_string(), "a$");
        assert_eq!(RelayPattern::from("$").to_string(), "");
    }
}
