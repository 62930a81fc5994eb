//! The answer of a proxy to a client's offer, `POST /answer`.

use memchr::memmem;
use serde::Serialize;

use super::json::{self, JsonError, Object};
use super::proxy::{Sid, is_supported};
use super::session_description::{InvalidSessionDescription, SessionDescription};

/// A proxy's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyAnswer {
    /// The name of the poll that got the offer.
    pub sid: Sid,
    /// The answer for the client.
    pub answer: SessionDescription,
}

/// A reason why an answer gets 400.
#[derive(Debug, thiserror::Error)]
pub enum InvalidProxyAnswer {
    /// The body does not contain `a=candidate`: no client could connect.
    #[error("no ICE candidate in the answer")]
    NoCandidate,
    /// Not the JSON that it should be.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The version is not `1` or `1.` and something.
    #[error("Version is not 1.x")]
    Version,
    /// `Sid` is absent or empty.
    #[error("Sid is absent")]
    NoSid,
    /// `Answer` is absent or empty.
    #[error("Answer is absent")]
    NoAnswer,
    /// `Answer` is no session description.
    #[error("malformed session description: {0}")]
    Answer(#[from] InvalidSessionDescription),
}

impl ProxyAnswer {
    /// Decodes the body of `POST /answer`.
    pub fn decode(body: &[u8]) -> Result<Self, InvalidProxyAnswer> {
        if !contains_candidate(body) {
            return Err(InvalidProxyAnswer::NoCandidate);
        }
        let text = json::text(body);
        let object = Object::parse(&text)?;
        let version = object.string("Version")?;
        let (sid, answer) = (object.string("Sid")?, object.json_string("Answer")?);
        if !is_supported(version.as_deref()) {
            return Err(InvalidProxyAnswer::Version);
        }
        let sid = sid.as_deref().and_then(Sid::new);
        let answer = answer.filter(|answer| !answer.text.is_empty());
        Ok(Self {
            sid: sid.ok_or(InvalidProxyAnswer::NoSid)?,
            answer: SessionDescription::read(answer.ok_or(InvalidProxyAnswer::NoAnswer)?)?,
        })
    }
}

fn contains_candidate(body: &[u8]) -> bool {
    const CANDIDATE: &[u8] = b"a=candidate";
    memmem::find(body, CANDIDATE).is_some()
}

/// The fate of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerStatus {
    /// The client that waited for it has it.
    Success,
    /// Nobody waits for it: an unknown `Sid`, a client that has left or timed
    /// out, or one that has its answer already.
    ClientGone,
}

impl AnswerStatus {
    /// The JSON body.
    pub fn encode(self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct StatusBody {
            status: &'static str,
        }
        let status = match self {
            Self::Success => "success",
            Self::ClientGone => "client gone",
        };
        json::encode(&StatusBody { status }, 32)
    }
}
