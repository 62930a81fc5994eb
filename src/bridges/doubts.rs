//! Doubts about a bridge list that the broker can serve, but with which some of its
//! clients will get no connection.

use std::collections::BTreeSet;
use std::fmt::{self, Display};

use super::list::{BridgeList, OverriddenLine, takes_clients};
use crate::wire::fingerprint::Fingerprint;
use crate::wire::relay_pattern::RelayPattern;

/// Maximum number of culprits that are named; the rest are only counted.
const NAMED_MAX: usize = 5;

/// A doubtful property of a bridge list. Displays as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Proxies may refuse to connect to these bridges, because the relay pattern that
    /// every proxy has to accept does not cover them.
    Uncovered {
        /// The relay pattern that every proxy has to accept.
        allowed: RelayPattern,
        /// The host names of the bridges, in the order of their fingerprints.
        hosts: Vec<String>,
    },
    /// Lines without effect, because a later line has the fingerprint and none of the
    /// bridge's lines has a weight or a state.
    SameFingerprint(Vec<OverriddenLine>),
    /// Lines without effect, because a later line has the same fingerprint and address.
    SameAddress(Vec<OverriddenLine>),
    /// Bridges without an address that is up.
    NoneUp(Vec<Fingerprint>),
}

impl BridgeList {
    /// Checks the bridges against the relay pattern that every proxy has to accept, and
    /// for duplicates and for bridges that take no clients.
    pub fn doubts(&self, allowed: &RelayPattern) -> Vec<Doubt> {
        let hosts = self.hosts_outside(allowed);
        let (same_address, same_fingerprint): (Vec<_>, Vec<_>) = self
            .overridden
            .iter()
            .partition(|line| line.has_same_address);
        let none_up = self.bridges_with_none_up();
        let allowed = allowed.clone();
        let doubts = [
            (!hosts.is_empty()).then_some(Doubt::Uncovered { allowed, hosts }),
            some(same_fingerprint).map(Doubt::SameFingerprint),
            some(same_address).map(Doubt::SameAddress),
            some(none_up).map(Doubt::NoneUp),
        ];
        doubts.into_iter().flatten().collect()
    }

    /// The hosts that the relay pattern does not cover, each once, in the order of their
    /// bridges.
    fn hosts_outside(&self, allowed: &RelayPattern) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let addresses = self.addresses().into_iter();
        addresses
            .map(|(fingerprint, address)| (fingerprint, address.host()))
            .filter(|(_, host)| !allowed.accepts(host))
            .filter(|named| seen.insert(named.clone()))
            .map(|(_, host)| host)
            .collect()
    }

    fn bridges_with_none_up(&self) -> Vec<Fingerprint> {
        let bridges = self.sorted().into_iter();
        bridges
            .filter(|(_, addresses)| !addresses.iter().any(takes_clients))
            .map(|(fingerprint, _)| fingerprint)
            .collect()
    }
}

fn some<T>(culprits: Vec<T>) -> Option<Vec<T>> {
    (!culprits.is_empty()).then_some(culprits)
}

impl Doubt {
    /// The sentence about a list that was read from this file.
    pub fn of_file(&self, file: &str) -> String {
        match self {
            Self::Uncovered { .. } => self.to_string(),
            Self::SameFingerprint(_) | Self::SameAddress(_) | Self::NoneUp(_) => {
                format!("{file}: {self}")
            }
        }
    }

    /// Returns true if only the file's text has the flaw, and not the list read from it.
    pub fn is_of_the_text(&self) -> bool {
        matches!(self, Self::SameFingerprint(_) | Self::SameAddress(_))
    }
}

impl Display for Doubt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uncovered { allowed, hosts } => write!(
                formatter,
                "broker.allowed_relay_pattern: {allowed} does not cover {}: {}; proxies may refuse \
                 to go there, and clients that ask for them fail",
                count(hosts.len(), "bridge"),
                listed(hosts.iter().map(String::as_str)),
            ),
            Self::SameFingerprint(lines) => write!(
                formatter,
                "the same fingerprint on several lines, of which the last counts: {} (give one \
                 of them a weight or a state to use all their addresses)",
                overrides(lines),
            ),
            Self::SameAddress(lines) => write!(
                formatter,
                "the same address of a bridge on several lines, of which the last counts: {}",
                overrides(lines),
            ),
            Self::NoneUp(bridges) => {
                let names: Vec<String> = bridges.iter().map(ToString::to_string).collect();
                let number = count(bridges.len(), "bridge");
                write!(
                    formatter,
                    "no address is up, so clients are refused, for {number}: {}",
                    listed(names.iter().map(String::as_str)),
                )
            }
        }
    }
}

fn overrides(lines: &[OverriddenLine]) -> String {
    let named: Vec<String> = lines
        .iter()
        .map(|OverriddenLine { line, by, .. }| format!("line {by} overrides line {line}"))
        .collect();
    listed(named.iter().map(String::as_str))
}

fn count(number: usize, of: &str) -> String {
    match number {
        1 => format!("1 {of}"),
        number => format!("{number} {of}s"),
    }
}

/// The first names, and the number of the others.
fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let first = names.take(NAMED_MAX).collect::<Vec<_>>().join(", ");
    match more {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize, url: &str) -> String {
        format!(
            "{{\"displayName\":\"\",\"webSocketAddress\":\"{url}\",\"fingerprint\":\"{number:040}\"}}\n"
        )
    }

    fn doubts(text: &str, allowed: &str) -> Vec<String> {
        let list = BridgeList::parse(text).unwrap();
        let doubts = list.doubts(&RelayPattern::from(allowed));
        doubts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn bridges_within_the_pattern_are_fine() {
        let tor = BridgeList::default();
        for allowed in ["^snowflake.torproject.net$", "torproject.net$", ""] {
            assert_eq!(tor.doubts(&RelayPattern::from(allowed)), [], "{allowed}");
        }
        for (url, allowed) in [
            ("wss://user@a.example:8443/path", "^a.example$"),
            ("ws://127.0.0.1/", "127.0.0.1$"),
            ("ws://[::1]:80/", "^::1$"),
        ] {
            assert_eq!(doubts(&line(1, url), allowed), [""; 0], "{url}");
        }
    }

    #[test]
    fn bridges_outside_of_the_pattern_are_named() {
        let two = line(1, "wss://a.example/") + &line(2, "wss://b.example/");
        assert_eq!(
            doubts(&two, "^a.example"),
            [
                "broker.allowed_relay_pattern: ^a.example$ does not cover 1 bridge: b.example; \
              proxies may refuse to go there, and clients that ask for them fail"
            ]
        );
        // Proxies compare host names exactly.
        assert_eq!(doubts(&line(1, "wss://A.example/"), "a.example").len(), 1);
        let many: String = (0..7)
            .map(|number| line(number, &format!("wss://{number}.example/")))
            .collect();
        let said = doubts(&many, "^a.example").concat();
        assert!(said.contains(" 7 bridges: 0.example, "), "{said}");
        assert!(said.contains(", 4.example and 2 more; "), "{said}");
    }

    #[test]
    fn lines_with_one_fingerprint_are_named() {
        let text = line(1, "wss://a.example/")
            + "\n"
            + &line(2, "wss://b.example/")
            + &line(1, "wss://c.example/")
            + &line(1, "wss://c.example/");
        assert_eq!(
            doubts(&text, ""),
            [
                "the same fingerprint on several lines, of which the last counts: \
              line 4 overrides line 1, line 5 overrides line 4 (give one of them a weight or \
              a state to use all their addresses)"
            ]
        );
        let weighed = text.replacen('{', "{\"weight\":1,", 1);
        assert_eq!(
            doubts(&weighed, ""),
            [
                "the same address of a bridge on several lines, of which the last counts: \
                 line 5 overrides line 4"
            ]
        );
    }

    #[test]
    fn bridges_that_take_no_clients_are_named() {
        let drains = |url| line(1, url).replacen('{', "{\"state\":\"drain\",", 1);
        let both = drains("wss://a.example/") + &drains("wss://b.example/");
        let fine = both.clone() + &line(1, "wss://c.example/");
        assert_eq!(doubts(&fine, ""), [""; 0]);
        assert_eq!(
            doubts(&both, ""),
            ["no address is up, so clients are refused, for 1 bridge: \
                 0000000000000000000000000000000000000001"]
        );
    }
}
