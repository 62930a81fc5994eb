//! The texts that a case has for itself.

use serde_json::{Value, json};

/// A line of a session description, and the number of them that make it a long one, of 40 KB.
const LONG: &str = "a=x-filler:0123456789012345678901234567\r\n";
const LONG_TIMES: usize = 1_000;

/// The placeholders in a case's texts, and what they stand for.
#[derive(Debug)]
pub(super) struct Texts(Vec<(&'static str, String)>);

impl Texts {
    /// Those of the case with this mark, which no other case has.
    pub(super) fn new(mark: &str) -> Self {
        let description = |kind: &str, more: &str| {
            let sdp = format!(
                "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns={mark}\r\nt=0 0\r\n\
                 m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
                 a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n{more}"
            );
            json!({"type": kind, "sdp": sdp}).to_string()
        };
        let [offer, answer] = ["offer", "answer"].map(|kind| description(kind, ""));
        let long_answer = description("answer", &LONG.repeat(LONG_TIMES));
        let quoted = |text: &str| Value::from(text).to_string();
        Self(vec![
            ("{sid}", mark.to_owned()),
            ("{quoted offer}", quoted(&offer)),
            ("{quoted answer}", quoted(&answer)),
            ("{offer}", offer),
            ("{answer}", answer),
            ("{long answer}", long_answer),
        ])
    }

    pub(super) fn fill(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        for (placeholder, stands_for) in &self.0 {
            filled = filled.replace(placeholder, stands_for);
        }
        filled
    }

    /// Fills all texts of a value.
    pub(super) fn fill_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.fill(text).into(),
            Value::Array(items) => items.iter().map(|item| self.fill_value(item)).collect(),
            Value::Object(map) => {
                let filled = map.iter();
                let filled = filled.map(|(key, value)| (key.clone(), self.fill_value(value)));
                Value::Object(filled.collect())
            }
            other => other.clone(),
        }
    }
}
