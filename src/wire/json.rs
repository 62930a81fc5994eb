//! JSON objects, read the way Go's `encoding/json` fills a struct: keys match
//! in any case, of a repeated key the last value counts, `null` leaves a field
//! as it was, unknown keys are skipped at any depth, bytes that are not UTF-8
//! and lone surrogate escapes become U+FFFD.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::{RawValue, to_raw_value};

/// Why a text is not the object that was expected.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, something after the object, or JSON that is no object.
    #[error("not a JSON object (column {column})")]
    NotAnObject {
        /// Where reading stopped, counted from 1 in bytes of its line.
        column: usize,
    },
    /// A known key holds a value of another type.
    #[error("{key} is not {expected}")]
    WrongType {
        /// The key as the protocol spells it.
        key: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
}

/// The text of a body, with U+FFFD for each byte that is not part of UTF-8.
pub(super) fn text(body: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(body) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(body.len() + 16);
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text)
}

/// The JSON text of a message of ours that is about so many bytes long.
pub(super) fn encode(message: &impl Serialize, about: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(about);
    serde_json::to_writer(&mut text, message)
        .expect("strings and integers under string keys are JSON");
    text
}

/// A JSON string, as it reads and as it is written. What is sent on as it came
/// need not be escaped anew.
#[derive(Debug)]
pub(super) struct JsonString<'a> {
    pub(super) text: String,
    pub(super) literal: Cow<'a, RawValue>,
}

impl<'a> JsonString<'a> {
    /// As we would write it.
    pub(super) fn of(text: &str) -> Self {
        let literal = to_raw_value(text).expect("a string is JSON");
        Self {
            text: text.to_owned(),
            literal: Cow::Owned(literal),
        }
    }

    /// What a literal reads; it has been read before.
    pub(super) fn text_of(literal: &RawValue) -> String {
        string_value(literal).unwrap_or_default()
    }

    fn read(raw: &'a RawValue) -> Option<Self> {
        let GoString { text, is_faithful } = serde_json::from_str(raw.get()).ok()?;
        if !is_faithful {
            return Some(Self::of(&text));
        }
        Some(Self {
            text,
            literal: Cow::Borrowed(raw),
        })
    }
}

/// The members of one JSON object, in their order, values not yet decoded.
pub(crate) struct Object<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Reads one object; `null` is an object without members. Nothing but
    /// white space may follow.
    pub(crate) fn parse(text: &'a str) -> Result<Self, JsonError> {
        let members: Option<Self> =
            serde_json::from_str(text).map_err(|error| JsonError::NotAnObject {
                column: error.column(),
            })?;
        Ok(members.unwrap_or(Self(Vec::new())))
    }

    /// The string under `key` in any case, `None` where it is absent or null.
    pub(crate) fn string(&self, key: &'static str) -> Result<Option<String>, JsonError> {
        self.last(key, |raw| {
            string_value(raw).ok_or(JsonError::WrongType {
                key,
                expected: "a string",
            })
        })
    }

    /// The same with how it is written.
    pub(super) fn json_string(
        &self,
        key: &'static str,
    ) -> Result<Option<JsonString<'a>>, JsonError> {
        self.last(key, |raw| {
            JsonString::read(raw).ok_or(JsonError::WrongType {
                key,
                expected: "a string",
            })
        })
    }

    /// The integer under `key` in any case, `None` where it is absent or null.
    pub(crate) fn integer(&self, key: &'static str) -> Result<Option<i64>, JsonError> {
        self.last(key, |raw| {
            raw.get().parse().map_err(|_| JsonError::WrongType {
                key,
                expected: "a 64-bit integer",
            })
        })
    }

    /// The first key that is none of `known` in any case.
    pub(crate) fn unknown_key(&self, known: &[&str]) -> Option<String> {
        let is_known = |name: &RawValue| known.iter().any(|key| is_spelled(name, key));
        let (name, _) = self.0.iter().find(|(name, _)| !is_known(name))?;
        string_value(name)
    }

    /// The value under exactly `key` if that is a string: how Go reads a map.
    pub(super) fn exact_string(&self, key: &str) -> Option<String> {
        string_value(self.exact(key)?)
    }

    /// Whether there is a string under exactly `key`.
    pub(super) fn has_exact_string(&self, key: &str) -> bool {
        self.exact(key)
            .is_some_and(|value| value.get().starts_with('"'))
    }

    fn exact(&self, key: &str) -> Option<&'a RawValue> {
        let named = |name: &RawValue| string_value(name).is_some_and(|name| name == key);
        let (_, value) = self.0.iter().rev().find(|(name, _)| named(name))?;
        Some(value)
    }

    /// Decodes every value under `key`, as one of the wrong type is an error
    /// even where another follows, and keeps the last.
    fn last<T>(
        &self,
        key: &str,
        decode: impl Fn(&'a RawValue) -> Result<T, JsonError>,
    ) -> Result<Option<T>, JsonError> {
        let mut last = None;
        for (name, value) in &self.0 {
            if value.get() != "null" && is_spelled(name, key) {
                last = Some(decode(value)?);
            }
        }
        Ok(last)
    }
}

/// Whether the raw JSON string `name` is `key` under Unicode's simple folding.
/// Two letters have relatives outside ASCII: `s` the long s, `k` the Kelvin sign.
fn is_spelled(name: &RawValue, key: &str) -> bool {
    let plain = name.get().trim_matches('"');
    if plain.is_ascii() && !plain.contains('\\') {
        return plain.eq_ignore_ascii_case(key);
    }
    let folded = |name: String| name.replace('ſ', "s").replace('\u{212a}', "k");
    string_value(name).is_some_and(|name| folded(name).eq_ignore_ascii_case(key))
}

fn string_value(raw: &RawValue) -> Option<String> {
    serde_json::from_str::<GoString>(raw.get())
        .ok()
        .map(|string| string.text)
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(&'de RawValue, &'de RawValue)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members).map(Object)
    }
}

/// A string in which a lone surrogate escape counts as U+FFFD. `serde_json`
/// hands those out only as bytes, where they are the WTF-8 form: three bytes.
struct GoString {
    text: String,
    /// There was no such escape: every reader of the literal reads this text.
    is_faithful: bool,
}

impl<'de> Deserialize<'de> for GoString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Wtf8;
        impl Visitor<'_> for Wtf8 {
            type Value = GoString;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<GoString, E> {
                if let Ok(text) = str::from_utf8(bytes) {
                    return Ok(GoString {
                        text: text.to_owned(),
                        is_faithful: true,
                    });
                }
                let text = replace_surrogates(bytes).ok_or_else(|| E::custom("not WTF-8"))?;
                Ok(GoString {
                    text,
                    is_faithful: false,
                })
            }
        }
        deserializer
            .deserialize_bytes(Wtf8)
            .map_err(D::Error::custom)
    }
}

/// WTF-8 with each surrogate, the bytes `ED A0..=BF xx`, as one U+FFFD.
fn replace_surrogates(mut bytes: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(bytes.len());
    while let Err(error) = str::from_utf8(bytes) {
        let (valid, rest) = bytes.split_at(error.valid_up_to());
        text.push_str(str::from_utf8(valid).ok()?);
        text.push(char::REPLACEMENT_CHARACTER);
        bytes = rest.get(3..)?;
    }
    text.push_str(str::from_utf8(bytes).ok()?);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Err` where the text is refused, else the offer, empty if absent.
    fn offer(text: &str) -> Result<String, JsonError> {
        Ok(Object::parse(text)?.string("offer")?.unwrap_or_default())
    }

    fn clients(value: &str) -> Result<Option<i64>, JsonError> {
        Object::parse(&format!("{{\"clients\":{value}}}"))?.integer("Clients")
    }

    #[test]
    fn keys_match_in_any_case_and_the_last_counts() {
        assert_eq!(offer(r#"{"OFFER":"a","oFFer":"b","x":[1]}"#).unwrap(), "b");
        assert_eq!(offer(r#"{"\u006fffer":"a"}"#).unwrap(), "a");
        assert_eq!(offer(r#"{"offers":"a"}"#).unwrap(), "");
        let long_s = Object::parse(r#"{"ſid":"x"}"#).unwrap();
        assert_eq!(long_s.string("Sid").unwrap().as_deref(), Some("x"));
        let kelvin = Object::parse("{\"\u{212a}ey\":\"x\"}").unwrap();
        assert_eq!(kelvin.string("key").unwrap().as_deref(), Some("x"));
    }

    #[test]
    fn keys_that_are_not_known_are_named() {
        let object = Object::parse(r#"{"A":1,"\u0062":{},"c\n":[]}"#).unwrap();
        assert_eq!(object.unknown_key(&["a", "b"]).as_deref(), Some("c\n"));
        assert_eq!(object.unknown_key(&["a", "b", "c\n"]), None);
    }

    #[test]
    fn null_is_absent() {
        assert_eq!(offer("null").unwrap(), "");
        assert_eq!(offer(r#"{"offer":null}"#).unwrap(), "");
        assert_eq!(offer(r#"{"offer":"a","offer":null}"#).unwrap(), "a");
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "",
            "[]",
            "1",
            "\"a\"",
            "{",
            "{}x",
            "{} {}",
            "{,}",
            "{\"offer\":\"a\",}",
            "{\"offer\":1}",
            "{\"offer\":[\"a\"]}",
            "{\"offer\":1,\"offer\":\"a\"}",
            "{\"offer\":\"a\nb\"}",
            "{\"a\nb\":1}",
            "{\"x\":01}",
            "{\"x\":\"\\x\"}",
            "\u{feff}{}",
            "{'offer':'a'}",
        ] {
            assert!(offer(text).is_err(), "{text:?}");
        }
        assert_eq!(offer("{\"offer\":\"a\"} \t\r\n").unwrap(), "a");
    }

    #[test]
    fn lone_surrogates_and_stray_bytes_become_replacement_characters() {
        assert_eq!(offer(r#"{"offer":"a\ud800b"}"#).unwrap(), "a\u{fffd}b");
        assert_eq!(
            offer(r#"{"offer":"\udc00\ud83d\ude00"}"#).unwrap(),
            "\u{fffd}😀"
        );
        assert_eq!(
            offer(r#"{"offer":"\ud800\ud800"}"#).unwrap(),
            "\u{fffd}\u{fffd}"
        );
        assert_eq!(text(b"a\xed\xa0\x80b"), "a\u{fffd}\u{fffd}\u{fffd}b");
        assert_eq!(text(b"\xf0\x9f\x98"), "\u{fffd}\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_string_is_written_as_it_came_unless_it_reads_otherwise() {
        let literal = |text: &str| {
            let object = Object::parse(text).unwrap();
            let string = object.json_string("offer").unwrap().unwrap();
            string.literal.get().to_owned()
        };
        assert_eq!(
            literal(r#"{"offer": "a\/\u0062\ud83d\ude00"}"#),
            r#""a\/\u0062\ud83d\ude00""#
        );
        assert_eq!(literal(r#"{"offer":"a\/\ud83d"}"#), "\"a/\u{fffd}\"");
        assert_eq!(
            literal(r#"{"offer":"a","offer":"\ude00","x":1}"#),
            "\"\u{fffd}\""
        );
    }

    #[test]
    fn integers_are_64_bit_and_written_as_integers() {
        assert_eq!(clients("-0").unwrap(), Some(0));
        assert_eq!(clients("null").unwrap(), None);
        assert_eq!(clients("-9223372036854775808").unwrap(), Some(i64::MIN));
        for wrong in ["1.0", "1e2", "9223372036854775808", "\"1\"", "true", "[]"] {
            assert!(clients(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn deep_nesting_is_skipped() {
        let deep = format!(
            "{{\"x\":{}{},\"offer\":\"a\"}}",
            "[".repeat(50_000),
            "]".repeat(50_000)
        );
        assert_eq!(offer(&deep).unwrap(), "a");
    }
}
