//! WebRTC session descriptions (RFC 8829), which the broker passes on unread.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::json::{JsonString, Object};

/// The JSON text `{"type": ..., "sdp": ...}` of an offer or an answer, kept exactly as
/// sent. It contains its sender's addresses, so `Debug` shows only its length.
///
/// It arrives as a JSON string in one message and leaves as a JSON string in another, so
/// the string's literal is what is stored.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct SessionDescription(Arc<RawValue>);

/// The error for a text that is not a session description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSessionDescription {
    /// The text is not a JSON object.
    #[error("not a JSON object")]
    NotAnObject,
    /// `type` is absent, not a string, or not one of offer, pranswer, answer and
    /// rollback.
    #[error("type is none of offer, pranswer, answer, rollback")]
    Type,
    /// `sdp` is absent or not a string.
    #[error("sdp is no string")]
    Sdp,
}

impl SessionDescription {
    /// Parses `text` and checks its form, but does not look at the SDP. Keys match
    /// exactly, unlike those of the surrounding messages.
    pub fn parse(text: &str) -> Result<Self, InvalidSessionDescription> {
        Self::read(JsonString::of(text))
    }

    /// Parses a text that arrived as a JSON string.
    pub(super) fn read(string: JsonString<'_>) -> Result<Self, InvalidSessionDescription> {
        check(&string.text)?;
        Ok(Self(Arc::from(string.literal.into_owned())))
    }

    /// The JSON text as received.
    pub fn text(&self) -> String {
        JsonString::text_of(&self.0)
    }

    /// The user fragment of ICE (RFC 8839 section 5.4), which is another in each offer of a
    /// client; `None` if there is none. Read from the literal as it came, since it has no
    /// character that must be escaped.
    pub fn ice_ufrag(&self) -> Option<&str> {
        const ATTRIBUTE: &str = "a=ice-ufrag:";
        let literal = self.0.get();
        let rest = &literal[literal.find(ATTRIBUTE)? + ATTRIBUTE.len()..];
        let is_ice_char = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
        let end = rest.find(|c| !is_ice_char(c)).unwrap_or(rest.len());
        Some(&rest[..end]).filter(|ufrag| !ufrag.is_empty())
    }

    /// The SDP of an offer; `None` if this is none.
    pub fn offered_sdp(&self) -> Option<String> {
        let text = self.text();
        let object = Object::parse(&text).ok()?;
        let is_offer = object.exact_string("type")? == "offer";
        object.exact_string("sdp").filter(|_| is_offer)
    }

    /// The number of bytes of the text as a JSON string.
    pub(super) fn literal_len(&self) -> usize {
        self.0.get().len()
    }
}

fn check(text: &str) -> Result<(), InvalidSessionDescription> {
    let object = Object::parse(text).map_err(|_| InvalidSessionDescription::NotAnObject)?;
    match object.exact_string("type").as_deref() {
        Some("offer" | "pranswer" | "answer" | "rollback") => {}
        _ => return Err(InvalidSessionDescription::Type),
    }
    if !object.has_exact_string("sdp") {
        return Err(InvalidSessionDescription::Sdp);
    }
    Ok(())
}

/// Compares the texts, however they are escaped.
impl PartialEq for SessionDescription {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get() || self.text() == other.text()
    }
}

impl Eq for SessionDescription {}

impl fmt::Debug for SessionDescription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "SessionDescription({} bytes)",
            self.literal_len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_to_the_byte() {
        for text in [
            r#"{"type":"offer","sdp":"v=0\r\n"}"#,
            " {\"sdp\":\"\\u00e4\", \"type\" : \"rollback\", \"x\":[{}]}\n",
            r#"{"type":1,"type":"answer","sdp":""}"#,
        ] {
            assert_eq!(SessionDescription::parse(text).unwrap().text(), text);
        }
    }

    #[test]
    fn the_culprit_is_named() {
        use InvalidSessionDescription::{NotAnObject, Sdp, Type};
        for (text, culprit) in [
            ("fake", NotAnObject),
            ("[]", NotAnObject),
            (r#"{"type":"offer","sdp":""}x"#, NotAnObject),
            ("{}", Type),
            (r#"{"type":"offers","sdp":""}"#, Type),
            (r#"{"Type":"offer","sdp":""}"#, Type),
            (r#"{"type":"offer"}"#, Sdp),
            (r#"{"type":"offer","sdp":"","sdp":null}"#, Sdp),
            (r#"{"type":"offer","sdp":{}}"#, Sdp),
        ] {
            assert_eq!(SessionDescription::parse(text), Err(culprit), "{text}");
        }
    }

    #[test]
    fn only_an_offer_has_an_offers_sdp() {
        let sdp = |text| SessionDescription::parse(text).unwrap().offered_sdp();
        assert_eq!(
            sdp(r#"{"type":"offer","sdp":"v=0\r\n"}"#).as_deref(),
            Some("v=0\r\n")
        );
        assert_eq!(sdp(r#"{"type":"answer","sdp":"v=0\r\n"}"#), None);
    }

    #[test]
    fn debug_shows_no_sdp() {
        let description = SessionDescription::parse(r#"{"type":"offer","sdp":"secret"}"#).unwrap();
        assert!(!format!("{description:?}").contains("secret"));
    }
}
