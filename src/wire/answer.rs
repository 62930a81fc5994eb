//! A proxy's answer to a client's offer, `POST /answer`.

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

/// The reason why an answer gets status 400.
#[derive(Debug, thiserror::Error)]
pub enum InvalidProxyAnswer {
    /// The body does not contain `a=candidate`, so no client could connect.
    #[error("no ICE candidate in the answer")]
    NoCandidate,
    /// The body is not the expected JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The version is neither `1` nor `1.` and something.
    #[error("Version is not 1.x")]
    Version,
    /// `Sid` is absent or empty.
    #[error("Sid is absent")]
    NoSid,
    /// `Answer` is absent or empty.
    #[error("Answer is absent")]
    NoAnswer,
    /// `Answer` is not a session description.
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

/// The poll whose proxy says that it cannot answer: by an empty answer, or by a session
/// description without candidates.
pub fn declined(body: &[u8]) -> Option<Sid> {
    let text = json::text(body);
    let object = Object::parse(&text).ok()?;
    let version = object.string("Version").ok()?;
    let sid = object.string("Sid").ok()?;
    let answer = object.json_string("Answer").ok()??;
    let says_nothing = answer.text.is_empty()
        || (!contains_candidate(body) && SessionDescription::read(answer).is_ok());
    let is_heard = says_nothing && is_supported(version.as_deref());
    sid.as_deref().and_then(Sid::new).filter(|_| is_heard)
}

fn contains_candidate(body: &[u8]) -> bool {
    const CANDIDATE: &[u8] = b"a=candidate";
    memmem::find(body, CANDIDATE).is_some()
}

/// The status sent in reply to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerStatus {
    /// The waiting client got the answer.
    Success,
    /// No client waits for the answer: the `Sid` is unknown, or its client has left,
    /// timed out or got an answer already.
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
