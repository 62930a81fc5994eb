//! The bridges that clients can ask for, with their addresses.

pub mod doubts;

use std::collections::HashMap;
use std::sync::Arc;

use http::Uri;

use crate::wire::JsonError;
use crate::wire::fingerprint::Fingerprint;
use crate::wire::json::Object;

/// The host of the Tor Project's bridge, to which proxies connect that know of no other.
const TORS_HOST: &str = "snowflake.torproject.net";

/// All bridges, by fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeList {
    bridges: HashMap<Fingerprint, Bridge>,
    /// The lines without effect, each with the later line that has its fingerprint.
    overridden: Vec<(usize, usize)>,
}

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// The bridge's name for people.
    pub display_name: String,
    /// The WebSocket address at which proxies reach the bridge.
    pub relay_url: Arc<str>,
}

/// The reason why a bridge list is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBridgeList {
    /// One line is invalid.
    #[error("line {line}: {problem}")]
    Line {
        /// The line number, counted from 1.
        line: usize,
        /// The error in the line.
        problem: InvalidBridge,
    },
    /// The list is empty, so no client could be served.
    #[error("has no bridge in it")]
    Empty,
}

/// The error in a line of a bridge list.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBridge {
    /// Not JSON, or a value that is not a string.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The key is unknown.
    #[error("unknown key {0:?}")]
    Key(String),
    /// The fingerprint is absent, or neither 40 nor 64 hex digits.
    #[error("fingerprint must be 40 or 64 hex digits")]
    Fingerprint,
    /// The address is absent, or not a WebSocket URL.
    #[error("webSocketAddress must be a ws:// or wss:// URL")]
    Address,
}

impl BridgeList {
    /// Parses JSON lines with keys in any case. Blank lines are skipped, the last line of
    /// a repeated fingerprint counts, and one bad line refuses the whole list.
    pub fn parse(text: &str) -> Result<Self, InvalidBridgeList> {
        let mut bridges = HashMap::new();
        let mut lines = HashMap::new();
        let mut overridden = Vec::new();
        for (text, line) in text.lines().zip(1..) {
            if text.trim().is_empty() {
                continue;
            }
            let parsed = parse_line(text);
            let (fingerprint, bridge) =
                parsed.map_err(|problem| InvalidBridgeList::Line { line, problem })?;
            bridges.insert(fingerprint, bridge);
            if let Some(earlier) = lines.insert(fingerprint, line) {
                overridden.push((earlier, line));
            }
        }
        if bridges.is_empty() {
            return Err(InvalidBridgeList::Empty);
        }
        Ok(Self {
            bridges,
            overridden,
        })
    }

    /// The number of bridges.
    pub fn count(&self) -> usize {
        self.bridges.len()
    }

    /// Returns true if the Tor Project's bridge is the only one. Its address counts, too:
    /// the same fingerprint elsewhere is another machine.
    pub fn is_tors_alone(&self) -> bool {
        let is_there = |bridge: &Bridge| host(&bridge.relay_url).eq_ignore_ascii_case(TORS_HOST);
        let tors = self.bridges.get(&Fingerprint::DEFAULT);
        self.count() == 1 && tors.is_some_and(is_there)
    }

    /// All bridges, sorted by fingerprint.
    pub fn sorted(&self) -> Vec<(Fingerprint, &Bridge)> {
        let mut bridges: Vec<_> = self
            .bridges
            .iter()
            .map(|(&by, bridge)| (by, bridge))
            .collect();
        bridges.sort_unstable_by_key(|(fingerprint, _)| *fingerprint);
        bridges
    }

    /// The list in the format that [`Self::parse`] reads, sorted by fingerprint.
    pub fn to_lines(&self) -> String {
        let mut lines = String::new();
        for (fingerprint, bridge) in self.sorted() {
            let line = serde_json::json!({
                "displayName": bridge.display_name,
                "webSocketAddress": &*bridge.relay_url,
                "fingerprint": fingerprint.to_string(),
            });
            lines += &line.to_string();
            lines.push('\n');
        }
        lines
    }

    /// The WebSocket address of the bridge with this fingerprint.
    pub fn relay_url(&self, fingerprint: Fingerprint) -> Option<Arc<str>> {
        let bridge = self.bridges.get(&fingerprint)?;
        Some(Arc::clone(&bridge.relay_url))
    }
}

impl FromIterator<(Fingerprint, Bridge)> for BridgeList {
    fn from_iter<I: IntoIterator<Item = (Fingerprint, Bridge)>>(bridges: I) -> Self {
        Self {
            bridges: bridges.into_iter().collect(),
            overridden: Vec::new(),
        }
    }
}

impl Bridge {
    /// Creates a bridge with this WebSocket address.
    pub fn new(display_name: String, relay_url: &str) -> Result<Self, InvalidBridge> {
        if !is_web_socket_url(relay_url) {
            return Err(InvalidBridge::Address);
        }
        Ok(Self {
            display_name,
            relay_url: relay_url.into(),
        })
    }
}

impl Default for BridgeList {
    /// The Tor Project's bridge.
    fn default() -> Self {
        let bridge = Bridge {
            display_name: "default".to_owned(),
            relay_url: format!("wss://{TORS_HOST}/").into(),
        };
        Self::from_iter([(Fingerprint::DEFAULT, bridge)])
    }
}

fn parse_line(line: &str) -> Result<(Fingerprint, Bridge), InvalidBridge> {
    const NAME: &str = "displayName";
    const ADDRESS: &str = "webSocketAddress";
    const FINGERPRINT: &str = "fingerprint";
    let line = Object::parse(line)?;
    if let Some(key) = line.unknown_keys(&[NAME, ADDRESS, FINGERPRINT]).next() {
        return Err(InvalidBridge::Key(key));
    }
    let fingerprint = line
        .string(FINGERPRINT)?
        .unwrap_or_default()
        .parse()
        .map_err(|_| InvalidBridge::Fingerprint)?;
    let address = line.string(ADDRESS)?.unwrap_or_default();
    let display_name = line.string(NAME)?.unwrap_or_default();
    Ok((fingerprint, Bridge::new(display_name, &address)?))
}

/// The host as proxies compare it, with an IPv6 address without brackets. There is always
/// a host, because a bridge without one is refused.
fn host(relay_url: &str) -> String {
    let uri = relay_url.parse::<Uri>().unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    host.trim_matches(['[', ']']).to_owned()
}

fn is_web_socket_url(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| {
        let is_scheme = |scheme: &str| ["ws", "wss"].iter().any(|s| s.eq_ignore_ascii_case(scheme));
        uri.scheme_str().is_some_and(is_scheme) && uri.host().is_some_and(|host| !host.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"displayName":"a","webSocketAddress":"wss://a.example/","fingerprint":"2B280B23E1107BB62ABFC40DDCC8824814F80A72"}"#;

    #[test]
    fn lines_become_bridges() {
        let other = GOOD
            .replace("2B28", "0000")
            .replace("a.example", "b.example");
        let list = BridgeList::parse(&format!("{GOOD}\n{other}\n\n")).unwrap();
        assert_eq!(
            list.relay_url(Fingerprint::DEFAULT).as_deref(),
            Some("wss://a.example/")
        );
        let other = "00000B23E1107BB62ABFC40DDCC8824814F80A72".parse().unwrap();
        assert_eq!(list.relay_url(other).as_deref(), Some("wss://b.example/"));
        assert_eq!(list.relay_url("1".repeat(40).parse().unwrap()), None);
    }

    #[test]
    fn lines_are_read_as_the_reference_broker_reads_them() {
        for line in [
            GOOD.to_uppercase(),
            GOOD.replace("\"a\"", "null"),
            GOOD.replace("\"displayName\":\"a\",", ""),
            GOOD.replace('{', "{\"webSocketAddress\":\"\",\"fingerprint\":\"\","),
            GOOD.replace('}', ",\"fingerprint\":null}\r"),
        ] {
            let list = BridgeList::parse(&line).unwrap();
            let address = list.relay_url(Fingerprint::DEFAULT).unwrap();
            assert_eq!(address.to_lowercase(), "wss://a.example/");
        }
    }

    #[test]
    fn a_bridge_may_be_named_by_its_ed25519_key() {
        let key = "0123456789abcdef".repeat(4);
        let line = GOOD.replace(&Fingerprint::DEFAULT.to_string(), &key);
        let list = BridgeList::parse(&line).unwrap();
        let address = list.relay_url(key.parse().unwrap());
        assert_eq!(address.as_deref(), Some("wss://a.example/"));
        assert_eq!(list.relay_url(Fingerprint::DEFAULT), None);
        assert_eq!(BridgeList::parse(&list.to_lines()).unwrap(), list);
    }

    #[test]
    fn the_default_list_has_the_default_bridge() {
        assert_eq!(
            BridgeList::default()
                .relay_url(Fingerprint::DEFAULT)
                .as_deref(),
            Some("wss://snowflake.torproject.net/")
        );
    }

    #[test]
    fn tors_bridge_is_known_by_its_fingerprint_and_its_host() {
        let is_alone = |text: &str| BridgeList::parse(text).unwrap().is_tors_alone();
        let tors = GOOD.replace("a.example", "Snowflake.TorProject.net:443");
        assert!(BridgeList::default().is_tors_alone());
        assert!(is_alone(&tors));
        assert!(!is_alone(GOOD), "another machine");
        assert!(!is_alone(&tors.replace("2B28", "0000")));
        assert!(!is_alone(&format!(
            "{tors}\n{}",
            tors.replace("2B28", "0000")
        )));
    }

    #[test]
    fn what_is_written_reads_back() {
        let other = GOOD.replace("2B28", "0000").replace("\"a\"", r#""\"\n""#);
        let list = BridgeList::parse(&format!("{GOOD}\n{other}")).unwrap();
        let lines = list.to_lines();
        assert_eq!(lines.lines().count(), 2);
        assert!(lines.lines().next().unwrap().contains("00000B23"), "sorted");
        assert_eq!(BridgeList::parse(&lines).unwrap(), list);
    }

    #[test]
    fn one_bad_line_refuses_the_file_and_is_named() {
        for (bad, problem) in [
            (GOOD.replace("displayName", "name"), "unknown key \"name\""),
            (GOOD.replace("\"a\"", "1"), "displayName is not a string"),
            (GOOD.replace("2B28", "2B2"), "40 or 64 hex digits"),
            (GOOD.replace("wss:", "https:"), "webSocketAddress"),
            ("x".to_owned(), "not a JSON object (column 1)"),
            (format!("{GOOD}x"), "not a JSON object (column 115)"),
            ("{}".to_owned(), "40 or 64 hex digits"),
            (
                GOOD.replace("webSocketAddress", "displayName"),
                "webSocketAddress",
            ),
        ] {
            let error = BridgeList::parse(&format!("{GOOD}\n{bad}"))
                .unwrap_err()
                .to_string();
            assert!(error.starts_with("line 2: "), "{error}");
            assert!(error.contains(problem), "{error}");
        }
        assert!(matches!(
            BridgeList::parse("\n"),
            Err(InvalidBridgeList::Empty)
        ));
    }
}
