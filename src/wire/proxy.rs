//! A proxy's poll, `POST /proxy`, and the response to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use serde::Serialize;

use super::json::{self, JsonError, Object};
use super::nat::{InvalidNatType, NatType};
pub use super::proxy_type::{ProxyType, ProxyTypes, TYPES_MAX};
use super::relay_pattern::RelayPattern;
use super::session_description::SessionDescription;

/// The random name that a proxy gives to a poll. Anyone who knows it can answer in the
/// proxy's place, and it may be as long as a body, so only its SHA-256 digest is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sid([u8; SHA256_OUTPUT_LEN]);

impl Sid {
    /// Hashes the name; `None` if it is empty.
    pub fn new(text: &str) -> Option<Self> {
        let mut sid = Self([0; SHA256_OUTPUT_LEN]);
        sid.0
            .copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        (!text.is_empty()).then_some(sid)
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sid(..)")
    }
}

/// Maximum length of [`ProxyPoll::type_name`], in bytes.
pub const TYPE_NAME_MAX: usize = 64;

/// A proxy's request for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyPoll {
    /// The proxy's name for this poll.
    pub sid: Sid,
    /// The type of program.
    pub proxy_type: ProxyType,
    /// The type as the proxy spells it; `None` if it is absent or too long.
    pub type_name: Option<Box<str>>,
    /// The NAT that the proxy reports.
    pub nat: NatType,
    /// The number of clients that the proxy reports to serve; negative numbers count as
    /// 0.
    pub clients: u64,
    /// The relays that the proxy is willing to connect to; `None` if it does not say.
    pub accepted_relay_pattern: Option<RelayPattern>,
}

/// The reason why a poll gets status 400.
#[derive(Debug, thiserror::Error)]
pub enum InvalidProxyPoll {
    /// The body is not the expected JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The version is neither `1` nor `1.` and something.
    #[error("Version is not 1.x")]
    Version,
    /// `Sid` is absent or empty.
    #[error("Sid is absent")]
    NoSid,
    /// `NAT` is not one of the six words.
    #[error(transparent)]
    Nat(#[from] InvalidNatType),
}

impl ProxyPoll {
    /// Decodes the body of `POST /proxy`, for a broker that tells these types apart.
    pub fn decode(body: &[u8], types: &ProxyTypes) -> Result<Self, InvalidProxyPoll> {
        let text = json::text(body);
        let object = Object::parse(&text)?;
        let sid = object.string("Sid")?;
        let version = object.string("Version")?;
        let proxy_type = object.string("Type")?;
        let nat = object.string("NAT")?;
        let clients = object.integer("Clients")?;
        let pattern = object.string("AcceptedRelayPattern")?;
        if !is_supported(version.as_deref()) {
            return Err(InvalidProxyPoll::Version);
        }
        Ok(Self {
            sid: sid
                .as_deref()
                .and_then(Sid::new)
                .ok_or(InvalidProxyPoll::NoSid)?,
            proxy_type: types.from_field(proxy_type.as_deref()),
            type_name: proxy_type
                .filter(|name| name.len() <= TYPE_NAME_MAX)
                .map(String::into_boxed_str),
            nat: NatType::from_field(nat.as_deref())?,
            clients: clients
                .and_then(|count| u64::try_from(count).ok())
                .unwrap_or(0),
            accepted_relay_pattern: pattern.as_deref().map(RelayPattern::from),
        })
    }
}

/// Returns true if the part before the first dot is `1`.
pub(super) fn is_supported(version: Option<&str>) -> bool {
    version.is_some_and(|version| version.split('.').next() == Some("1"))
}

/// The outcome of a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollStatus {
    /// A client for this proxy.
    ClientMatch {
        /// The client's offer.
        offer: SessionDescription,
        /// The client's NAT word.
        nat: NatType,
        /// The WebSocket address of the bridge that the client wants.
        relay_url: Arc<str>,
    },
    /// No client came in time.
    NoMatch,
    /// The proxy would not connect to every relay that this broker hands out.
    IncorrectRelayPattern,
    /// The proxy polls more often than it was told to.
    PolledTooSoon,
}

/// The response to a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollResponse {
    /// The outcome of the poll.
    pub status: PollStatus,
    /// The time until the proxy should poll again; sent in milliseconds.
    pub next_poll: Duration,
}

impl PollResponse {
    /// The JSON body.
    pub fn encode(&self) -> Vec<u8> {
        let status = match &self.status {
            PollStatus::ClientMatch {
                offer,
                nat,
                relay_url,
            } => {
                let body = self.body("client match", offer, nat.as_str(), relay_url);
                return json::encode(&body, 160 + offer.literal_len());
            }
            PollStatus::NoMatch => "no match",
            PollStatus::IncorrectRelayPattern => "incorrect relay pattern",
            PollStatus::PolledTooSoon => "polled too soon",
        };
        json::encode(&self.body(status, &"", "", ""), 128)
    }

    fn body<'a, O>(
        &self,
        status: &'static str,
        offer: &'a O,
        nat: &'static str,
        relay_url: &'a str,
    ) -> ResponseBody<'a, O> {
        ResponseBody {
            status,
            offer,
            nat,
            next_poll: u64::try_from(self.next_poll.as_millis()).unwrap_or(u64::MAX),
            relay_url,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ResponseBody<'a, O> {
    status: &'static str,
    offer: &'a O,
    #[serde(rename = "NAT")]
    nat: &'static str,
    next_poll: u64,
    #[serde(rename = "RelayURL")]
    relay_url: &'a str,
}
