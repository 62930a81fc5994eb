//! Doubts about a bridge list that the broker can serve, but with which some of its
//! clients will get no connection.

use std::fmt::{self, Display};

use super::{BridgeList, host};
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
    /// Lines without effect, each with the later line that overrides it.
    Overridden(Vec<(usize, usize)>),
}

impl BridgeList {
    /// Checks the bridges against the relay pattern that every proxy has to accept, and
    /// for duplicates.
    pub fn doubts(&self, allowed: &RelayPattern) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        let bridges = self.sorted().into_iter();
        let hosts: Vec<String> = bridges
            .map(|(_, bridge)| host(&bridge.relay_url))
            .filter(|host| !allowed.accepts(host))
            .collect();
        if !hosts.is_empty() {
            let allowed = allowed.clone();
            doubts.push(Doubt::Uncovered { allowed, hosts });
        }
        if !self.overridden.is_empty() {
            doubts.push(Doubt::Overridden(self.overridden.clone()));
        }
        doubts
    }
}

impl Doubt {
    /// The sentence about a list that was read from this file.
    pub fn of_file(&self, file: &str) -> String {
        match self {
            Self::Uncovered { .. } => self.to_string(),
            Self::Overridden(_) => format!("{file}: {self}"),
        }
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
            Self::Overridden(lines) => {
                let named: Vec<String> = lines
                    .iter()
                    .map(|(earlier, later)| format!("line {later} overrides line {earlier}"))
                    .collect();
                write!(
                    formatter,
                    "the same fingerprint on several lines, of which the last counts: {}",
                    listed(named.iter().map(String::as_str)),
                )
            }
        }
    }
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
              line 4 overrides line 1, line 5 overrides line 4"
            ]
        );
    }
}
