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
    /// The headings of docs/protocol.md that the cases are about.
    pub(crate) page: Vec<String>,
    #[serde(default)]
    pub(crate) server: Server,
    /// The path that all cases need, if there are brokers without it.
    pub(super) optional: Option<String>,
    pub(crate) cases: Vec<Case>,
}

/// Whom a section asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Server {
    /// A broker, over HTTP.
    #[default]
    Broker,
    /// A server that tells proxies their NAT types, over HTTP.
    NatProbe,
    /// A broker, through a queue of SQS as well. The method `SEND` stands for a message to the
    /// queue, with headers for its attributes. The status is 200 once the message is deleted and
    /// a response is in the queue that the header `queue` names, or 204 if there is none.
    Queue,
}

/// One thing that is said of the wire.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The first version of the reference broker that does this.
    #[serde(default)]
    pub(super) since: Version,
    /// What few brokers can do, if the case needs it.
    pub(super) needs: Option<Need>,
    pub(super) steps: Vec<Step>,
}

/// A version of the reference broker.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum,
)]
pub(crate) enum Version {
    /// Of November 2024.
    #[default]
    #[serde(rename = "2.10.1")]
    #[value(name = "2.10.1")]
    Of2024,
    /// Of June 2026.
    #[serde(rename = "2.14.1")]
    #[value(name = "2.14.1")]
    Of2026,
    /// The main branch of August 2026.
    #[serde(rename = "main")]
    #[value(name = "main")]
    Main,
}

/// Something that a test can arrange for, and a broker in use cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Need {
    /// `/metrics` has one block, of all that has happened until then.
    BlockAtOnce,
}

/// A request, the response to an earlier one, or both.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// Whoever waits for a response while other steps are taken.
    pub(super) who: Option<String>,
    /// The milliseconds until the step is taken, for pages that are not made for each request.
    #[serde(default)]
    pub(super) pause: u64,
    pub(super) send: Option<Message>,
    /// How many send this, side by side. Each has texts of its own, the same ones in all steps
    /// with this number.
    #[serde(default = "once")]
    pub(super) times: usize,
    pub(super) get: Option<Expected>,
    /// Whoever waits breaks off.
    #[serde(default)]
    pub(super) leaves: bool,
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
    /// The number of bytes at the end of the body.
    #[serde(default)]
    pub(super) filler: usize,
    /// Each of these bytes.
    #[serde(default = "filler_byte")]
    pub(super) filler_byte: char,
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
    /// The least and the most milliseconds that it takes.
    pub(super) takes: Option<[u64; 2]>,
    /// The body, to the byte.
    pub(super) body: Option<String>,
    /// Parts of the body.
    #[serde(default)]
    pub(super) has: Vec<String>,
    /// The lines of a block; the body is any number of these.
    pub(super) block: Option<Vec<String>>,
    /// By how much series of this page have grown since the case got it last.
    #[serde(default)]
    pub(super) grown: BTreeMap<String, i64>,
    /// All keys of the object that is the body.
    pub(super) keys: Option<Vec<String>>,
    /// Some values of it.
    pub(super) json: Option<Map<String, Value>>,
    /// Keys whose values are integers, not below 0.
    #[serde(default)]
    pub(super) integers: Vec<String>,
    /// The object in a page for an AMP cache.
    pub(super) amp: Option<Value>,
}

fn once() -> usize {
    1
}

fn post() -> String {
    "POST".to_owned()
}

fn filler_byte() -> char {
    'x'
}

impl Section {
    /// Reads a file.
    pub(crate) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

impl Case {
    /// Returns the reason why a broker that is in use and does as this version cannot pass.
    pub(crate) fn skipped(&self, version: Version) -> Option<&'static str> {
        if self.since > version {
            return Some("later versions do this");
        }
        self.needs.map(|needed| match needed {
            Need::BlockAtOnce => "the log would need a block of all that has happened",
        })
    }
}
