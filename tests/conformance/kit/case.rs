//! Sections and their cases, as they are written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Section {
    /// What the cases have in common.
    pub(crate) title: String,
    pub(crate) cases: Vec<Case>,
}

/// One thing that is said of the wire.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(super) steps: Vec<Step>,
}

/// A request, the response to an earlier one, or both.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// Whoever waits for a response while other steps are taken.
    pub(super) who: Option<String>,
    pub(super) send: Option<Message>,
    pub(super) get: Option<Expected>,
}

/// A request. In its texts, `{sid}`, `{offer}` and `{answer}` stand for ones of the case, and
/// `{quoted offer}` and `{quoted answer}` for these as JSON strings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    #[serde(default = "post")]
    pub(super) method: String,
    #[serde(default)]
    pub(super) path: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) body: String,
    /// The number of bytes `x` at the end of the body.
    #[serde(default)]
    pub(super) filler: usize,
    /// An object in place of the body.
    pub(super) json: Option<Value>,
    /// The same, after the line of a client's poll.
    pub(super) poll: Option<Value>,
    /// A client's poll in the path.
    pub(super) amp: Option<AmpPoll>,
}

/// A client's poll through an AMP cache.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AmpPoll {
    /// What a broker ignores.
    #[serde(default)]
    pub(super) between: String,
    pub(super) poll: Value,
}

/// What a response must be. What is left out may be anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    pub(super) status: u16,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// The body, to the byte.
    pub(super) body: Option<String>,
    /// Parts of the body.
    #[serde(default)]
    pub(super) has: Vec<String>,
    /// All keys of the object that is the body.
    pub(super) keys: Option<Vec<String>>,
    /// Some values of it.
    pub(super) json: Option<Map<String, Value>>,
    /// The object in a page for an AMP cache.
    pub(super) amp: Option<Value>,
}

fn post() -> String {
    "POST".to_owned()
}

impl Section {
    /// Reads a file.
    pub(crate) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}
