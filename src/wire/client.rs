//! A client's poll, by any rendezvous method, and the response to it.

use serde::Serialize;

use super::fingerprint::{Fingerprint, InvalidFingerprint};
use super::json::{self, JsonError, Object};
use super::nat::{InvalidNatType, NatType};
use super::session_description::{InvalidSessionDescription, SessionDescription};

/// A client's request for a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPoll {
    /// The client's offer.
    pub offer: SessionDescription,
    /// The NAT that the client reports.
    pub nat: NatType,
    /// The bridge that the client wants.
    pub fingerprint: Fingerprint,
}

/// The error in a client's poll. Its text is sent to the client, and clients distinguish
/// some of the texts.
#[derive(Debug, thiserror::Error)]
pub enum InvalidClientPoll {
    /// The first line is not exactly `1.0`.
    #[error("unsupported message version")]
    Version,
    /// The body is not the expected JSON.
    #[error("malformed request: {0}")]
    Json(#[from] JsonError),
    /// `offer` is absent or empty.
    #[error("no supplied offer")]
    NoOffer,
    /// `offer` is not a session description.
    #[error("malformed session description: {0}")]
    Offer(#[from] InvalidSessionDescription),
    /// `fingerprint` is neither 40 nor 64 hex digits.
    #[error(transparent)]
    Fingerprint(#[from] InvalidFingerprint),
    /// `nat` is not one of the six words.
    #[error(transparent)]
    Nat(#[from] InvalidNatType),
}

impl ClientPoll {
    /// Returns true if a body has the legacy format, which is the bare offer.
    pub fn is_legacy(body: &[u8]) -> bool {
        body.first() == Some(&b'{')
    }

    /// Decodes the line `1.0` and the JSON object after it.
    pub fn decode(body: &[u8]) -> Result<Self, InvalidClientPoll> {
        let body = body
            .strip_prefix(b"1.0\n")
            .ok_or(InvalidClientPoll::Version)?;
        let text = json::text(body);
        let object = Object::parse(&text)?;
        let offer = object.json_string("offer")?;
        let nat = object.string("nat")?;
        let fingerprint = object.string("fingerprint")?;
        let sent = offer.filter(|offer| !offer.text.is_empty());
        Ok(Self {
            offer: SessionDescription::read(sent.ok_or(InvalidClientPoll::NoOffer)?)?,
            fingerprint: Fingerprint::from_field(fingerprint.as_deref())?,
            nat: NatType::from_field(nat.as_deref())?,
        })
    }

    /// Decodes the legacy format: the body is the offer, `nat` is the value of the header
    /// `Snowflake-NAT-Type`, and the bridge is the default one.
    pub fn decode_legacy(body: &[u8], nat: Option<&str>) -> Result<Self, InvalidClientPoll> {
        Ok(Self {
            offer: SessionDescription::parse(&json::text(body))?,
            nat: NatType::from_field(nat)?,
            fingerprint: Fingerprint::DEFAULT,
        })
    }
}

/// The JSON body with a client's answer.
pub fn encode_answer(answer: &SessionDescription) -> Vec<u8> {
    #[derive(Serialize)]
    struct AnswerBody<'a> {
        answer: &'a SessionDescription,
    }
    json::encode(&AnswerBody { answer }, 16 + answer.literal_len())
}

/// The JSON body that tells a client why it gets no answer.
pub fn encode_error(error: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct ErrorBody<'a> {
        error: &'a str,
    }
    json::encode(&ErrorBody { error }, 16 + error.len())
}
