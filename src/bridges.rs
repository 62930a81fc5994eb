//! The bridges that clients can ask for, and where they are.

use std::collections::HashMap;
use std::sync::Arc;

use http::Uri;
use serde::Deserialize;

use crate::wire::fingerprint::Fingerprint;

/// Every bridge, by its fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeList(HashMap<Fingerprint, Bridge>);

/// One bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// What people call it.
    pub display_name: String,
    /// The WebSocket address at which proxies reach it.
    pub relay_url: Arc<str>,
}

/// Why a bridge list is refused whole.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBridgeList {
    /// One line is not what it should be.
    #[error("line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: InvalidBridge,
    },
    /// No client could be served.
    #[error("there is no bridge in it")]
    Empty,
}

/// What is wrong with a line of a bridge list.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBridge {
    /// Not JSON, another key, or a key missing.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Not 40 hex digits.
    #[error("fingerprint is not 40 hex digits")]
    Fingerprint,
    /// Not the URL of a WebSocket.
    #[error("webSocketAddress is no ws:// or wss:// URL")]
    Address,
}

impl BridgeList {
    /// Parses JSON lines; blank ones are skipped, of a repeated fingerprint the
    /// last line counts, and one bad line refuses them all.
    pub fn parse(text: &str) -> Result<Self, InvalidBridgeList> {
        let mut bridges = HashMap::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let (fingerprint, bridge) =
                parse_line(line).map_err(|problem| InvalidBridgeList::Line {
                    line: index + 1,
                    problem,
                })?;
            bridges.insert(fingerprint, bridge);
        }
        if bridges.is_empty() {
            return Err(InvalidBridgeList::Empty);
        }
        Ok(Self(bridges))
    }

    /// The WebSocket address of the bridge with this fingerprint.
    pub fn relay_url(&self, fingerprint: Fingerprint) -> Option<Arc<str>> {
        let bridge = self.0.get(&fingerprint)?;
        Some(Arc::clone(&bridge.relay_url))
    }
}

impl Default for BridgeList {
    /// The bridge of the Tor Project.
    fn default() -> Self {
        let bridge = Bridge {
            display_name: "default".to_owned(),
            relay_url: "wss://snowflake.torproject.net/".into(),
        };
        Self(HashMap::from([(Fingerprint::DEFAULT, bridge)]))
    }
}

fn parse_line(line: &str) -> Result<(Fingerprint, Bridge), InvalidBridge> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Line {
        #[serde(default)]
        display_name: String,
        web_socket_address: String,
        fingerprint: String,
    }
    let line: Line = serde_json::from_str(line)?;
    let fingerprint = line
        .fingerprint
        .parse()
        .map_err(|_| InvalidBridge::Fingerprint)?;
    if !is_web_socket_url(&line.web_socket_address) {
        return Err(InvalidBridge::Address);
    }
    let bridge = Bridge {
        display_name: line.display_name,
        relay_url: line.web_socket_address.into(),
    };
    Ok((fingerprint, bridge))
}

fn is_web_socket_url(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("ws" | "wss"))
            && uri.host().is_some_and(|host| !host.is_empty())
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
    fn the_default_list_has_the_default_bridge() {
        assert_eq!(
            BridgeList::default()
                .relay_url(Fingerprint::DEFAULT)
                .as_deref(),
            Some("wss://snowflake.torproject.net/")
        );
    }

    #[test]
    fn one_bad_line_refuses_the_file_and_is_named() {
        for (bad, problem) in [
            (GOOD.replace("displayName", "name"), "unknown field"),
            (GOOD.replace("2B28", "2B2"), "40 hex digits"),
            (GOOD.replace("wss:", "https:"), "webSocketAddress"),
            ("x".to_owned(), "expected value"),
            (format!("{GOOD}x"), "trailing characters"),
            ("{}".to_owned(), "missing field"),
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
