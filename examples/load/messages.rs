//! The messages of clients and proxies, and the checks of what they receive.
//!
//! Every offer has its own number, its *tag*, in the session id of its description. Its
//! answer has the same tag and otherwise the same text as all answers, so client and
//! proxy know every byte that they should receive.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

/// The text before the tag in a description.
const BEFORE_TAG: &str = "o=- ";
const TAG_DIGITS: usize = 20;
/// A candidate line. A browser's description has about ten.
const CANDIDATE: &str = "a=candidate:1467250027 1 udp 2122260223 192.0.2.7 46154 typ host\r\n";

/// The session descriptions of one run.
#[derive(Debug)]
pub(crate) struct Messages {
    sdp_bytes: usize,
}

/// The type and NAT of a proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProxyKind<'a> {
    pub(crate) proxy_type: &'a str,
    pub(crate) nat: &'a str,
}

/// The broker's response to a proxy's poll.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PollResponse {
    pub(crate) status: String,
    pub(crate) offer: String,
}

/// The broker's response to a client.
#[derive(Debug, Deserialize)]
pub(crate) struct ClientResponse {
    pub(crate) answer: Option<String>,
    pub(crate) error: Option<String>,
}

/// The broker's response to an answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AnswerResponse {
    pub(crate) status: String,
}

impl Messages {
    /// Creates descriptions of at least this many bytes.
    pub(crate) fn new(sdp_bytes: usize) -> Self {
        Self { sdp_bytes }
    }

    /// The body of a client's poll.
    pub(crate) fn client_poll(&self, tag: u64, nat: &str) -> Bytes {
        let poll = json!({"offer": self.offer(tag), "nat": nat, "fingerprint": ""});
        format!("1.0\n{poll}").into()
    }

    /// The body of a proxy's poll.
    pub(crate) fn proxy_poll(sid: &str, kind: ProxyKind) -> Bytes {
        let poll = json!({
            "Sid": sid, "Version": "1.3", "Type": kind.proxy_type, "NAT": kind.nat,
            "Clients": 0, "AcceptedRelayPattern": "snowflake.torproject.net$",
        });
        poll.to_string().into()
    }

    /// The body of a proxy's answer to the offer with this tag.
    pub(crate) fn proxy_answer(&self, sid: &str, tag: u64) -> Bytes {
        let answer = json!({"Version": "1.3", "Sid": sid, "Answer": self.answer(tag)});
        answer.to_string().into()
    }

    /// The tag of an offer that arrived undamaged.
    pub(crate) fn tag_of(&self, offer: &str) -> Option<u64> {
        let (_, rest) = offer.split_once(BEFORE_TAG)?;
        let tag = rest.get(..TAG_DIGITS)?.parse().ok()?;
        (self.offer(tag) == offer).then_some(tag)
    }

    /// Returns true if this is the undamaged answer to the offer with this tag.
    pub(crate) fn is_answer_to(&self, tag: u64, answer: &str) -> bool {
        self.answer(tag) == answer
    }

    fn offer(&self, tag: u64) -> String {
        self.description("offer", tag)
    }

    fn answer(&self, tag: u64) -> String {
        self.description("answer", tag)
    }

    fn description(&self, kind: &str, tag: u64) -> String {
        let mut sdp = format!("v=0\r\n{BEFORE_TAG}{tag:0TAG_DIGITS$} 2 IN IP4 0.0.0.0\r\ns=-\r\n");
        sdp.push_str(CANDIDATE);
        while sdp.len() < self.sdp_bytes {
            sdp.push_str(CANDIDATE);
        }
        json!({"type": kind, "sdp": sdp}).to_string()
    }
}
