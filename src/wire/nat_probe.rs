//! The messages between a proxy that wants to know its NAT type and the probe server: a
//! proxy sends its offer as a broker would send a client's, in the response to a poll, and
//! gets the server's answer as a proxy would send its own to a broker.

use serde::Serialize;

use super::json::{self, JsonError, Object};
use super::session_description::{InvalidSessionDescription, SessionDescription};

/// The version of the protocol that the answer names.
const VERSION: &str = "1.3";
/// Stands in for the name of a poll, as there is none.
const SID: &str = "stub-sid";
/// The status of a poll response that has an offer in it.
const MATCH: &str = "client match";

/// The reason why a proxy's request gets status 400.
#[derive(Debug, thiserror::Error)]
pub enum InvalidNatProbe {
    /// The body is not the expected JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The status is not the one of a response with an offer.
    #[error("Status is not \"client match\"")]
    Status,
    /// `Offer` is absent or empty.
    #[error("Offer is absent")]
    NoOffer,
    /// `Offer` is not a session description.
    #[error("malformed session description: {0}")]
    Offer(#[from] InvalidSessionDescription),
}

/// Decodes the body of `POST /probe`: the proxy's offer.
pub fn decode_offer(body: &[u8]) -> Result<SessionDescription, InvalidNatProbe> {
    let text = json::text(body);
    let object = Object::parse(&text)?;
    if object.string("Status")?.as_deref() != Some(MATCH) {
        return Err(InvalidNatProbe::Status);
    }
    let offer = object
        .json_string("Offer")?
        .filter(|offer| !offer.text.is_empty());
    let offer = offer.ok_or(InvalidNatProbe::NoOffer)?;
    Ok(SessionDescription::read(offer)?)
}

/// The body of the response: the answer to a proxy's offer.
pub fn encode_answer(answer: &SessionDescription) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct AnswerRequest<'a> {
        version: &'static str,
        sid: &'static str,
        answer: &'a SessionDescription,
    }
    let request = AnswerRequest {
        version: VERSION,
        sid: SID,
        answer,
    };
    json::encode(&request, 64 + answer.literal_len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::answer::ProxyAnswer;

    const OFFER: &str = r#"{"type":"offer","sdp":"v=0\r\n"}"#;

    fn request(status: &str, offer: &str) -> String {
        serde_json::json!({ "Status": status, "Offer": offer, "NAT": "", "RelayURL": "" })
            .to_string()
    }

    #[test]
    fn an_offer_is_read_from_a_poll_response() {
        let body = request("client match", OFFER);
        assert_eq!(decode_offer(body.as_bytes()).unwrap().text(), OFFER);
    }

    #[test]
    fn the_culprit_is_named() {
        for (body, culprit) in [
            ("", "not"),
            ("{}", "Status"),
            (&*request("no match", ""), "Status"),
            (&request("client match", ""), "Offer is absent"),
            (&request("client match", "v=0"), "malformed"),
            (r#"{"Status":"client match","Offer":1}"#, "Offer"),
        ] {
            let error = decode_offer(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(culprit), "{body}: {error}");
        }
    }

    /// Proxies read it with what brokers read answers with.
    #[test]
    fn an_answer_is_written_as_proxies_write_theirs() {
        let text = r#"{"type":"answer","sdp":"a=candidate\r\n"}"#;
        let answer = SessionDescription::parse(text).unwrap();
        let body = encode_answer(&answer);
        assert_eq!(ProxyAnswer::decode(&body).unwrap().answer, answer);
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["Sid"], "stub-sid");
        assert_eq!(body["Version"], "1.3");
    }
}
