//! JSON objects, read the way Go's `encoding/json` fills a struct: keys match in any
//! case, the last value of a repeated key counts, `null` leaves a field unchanged,
//! unknown keys are skipped at any depth, and bytes that are not UTF-8 and lone surrogate
//! escapes become U+FFFD.
//!
//! The objects are untrusted, so each is read once: a key is decoded at most once, and a
//! value only if its key is asked for. No client or proxy sends as many as ten members;
//! objects with more than [`MEMBERS_MAX`] are refused.

mod strings;

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

pub(super) use strings::{JsonString, text};

use strings::string_value;

/// Maximum number of members of an object.
const MEMBERS_MAX: usize = 64;

/// Maximum number of letters of a key that is asked for.
const KEY_MAX: usize = 32;

/// Maximum number of bytes of such a key as a JSON string: quotes, and an escape for each
/// letter.
const KEY_LITERAL_MAX: usize = 2 + KEY_MAX * r"\u0000".len();

/// The error for a text that is not the expected object.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, not an object, or followed by something else.
    #[error("not a JSON object (column {column})")]
    NotAnObject {
        /// The column where reading stopped, in bytes and counted from 1.
        column: usize,
    },
    /// The object has more members than any message needs.
    #[error("the object has more than {MEMBERS_MAX} members")]
    TooManyMembers,
    /// A known key has a value of the wrong type.
    #[error("{key} is not {expected}")]
    WrongType {
        /// The key as the protocol spells it.
        key: &'static str,
        /// The expected type.
        expected: &'static str,
    },
}

/// The JSON text of a message of about this many bytes.
pub(super) fn encode(message: &impl Serialize, about: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(about);
    serde_json::to_writer(&mut text, message)
        .expect("strings and integers under string keys are JSON");
    text
}

/// The members of a JSON object, in order, with undecoded values.
pub(crate) struct Object<'a>(Vec<Member<'a>>);

struct Member<'a> {
    /// The key; `None` if it is too long to be asked for.
    name: Option<Cow<'a, str>>,
    name_literal: &'a RawValue,
    value: &'a RawValue,
}

impl<'a> Object<'a> {
    /// Reads one object; `null` is an object without members. Only white space may
    /// follow.
    pub(crate) fn parse(text: &'a str) -> Result<Self, JsonError> {
        let mut members = Vec::with_capacity(8);
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = deserializer
            .deserialize_option(Members(&mut members))
            .and_then(|()| deserializer.end());
        match read {
            Ok(()) => Ok(Self(members)),
            Err(_) if members.len() > MEMBERS_MAX => Err(JsonError::TooManyMembers),
            Err(error) => Err(JsonError::NotAnObject {
                column: error.column(),
            }),
        }
    }

    /// The string under `key` in any case; `None` if absent or null.
    pub(crate) fn string(&self, key: &'static str) -> Result<Option<String>, JsonError> {
        self.last(key, |raw| {
            string_value(raw).ok_or(JsonError::WrongType {
                key,
                expected: "a string",
            })
        })
    }

    /// The same with its literal.
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

    /// The integer under `key` in any case; `None` if absent or null.
    pub(crate) fn integer(&self, key: &'static str) -> Result<Option<i64>, JsonError> {
        self.last(key, |raw| {
            raw.get().parse().map_err(|_| JsonError::WrongType {
                key,
                expected: "a 64-bit integer",
            })
        })
    }

    /// The number under `key` in any case; `None` if absent or null. Infinite if it is too
    /// large.
    pub(crate) fn number(&self, key: &'static str) -> Result<Option<f64>, JsonError> {
        self.last(key, |raw| {
            raw.get().parse().map_err(|_| JsonError::WrongType {
                key,
                expected: "a number",
            })
        })
    }

    /// The keys that match none of `known` in any case.
    pub(crate) fn unknown_keys(&self, known: &[&str]) -> impl Iterator<Item = String> {
        let is_known = |member: &&Member| known.iter().any(|key| member.is_spelled(key));
        let unknown = self.0.iter().filter(move |member| !is_known(member));
        unknown.filter_map(|member| string_value(member.name_literal))
    }

    /// The value under exactly `key` if it is a string, as Go reads a map.
    pub(super) fn exact_string(&self, key: &str) -> Option<String> {
        string_value(self.exact(key)?)
    }

    /// Returns true if the value under exactly `key` is a string.
    pub(super) fn has_exact_string(&self, key: &str) -> bool {
        self.exact(key)
            .is_some_and(|value| value.get().starts_with('"'))
    }

    fn exact(&self, key: &str) -> Option<&'a RawValue> {
        debug_assert!(key.len() <= KEY_MAX, "{key} is too long to be found");
        let mut members = self.0.iter().rev();
        let last = members.find(|member| member.name.as_deref() == Some(key))?;
        Some(last.value)
    }

    /// Decodes every value under `key` and returns the last one. All are decoded because
    /// a value of the wrong type is an error even if another one follows.
    fn last<T>(
        &self,
        key: &str,
        decode: impl Fn(&'a RawValue) -> Result<T, JsonError>,
    ) -> Result<Option<T>, JsonError> {
        let mut last = None;
        for member in &self.0 {
            if member.value.get() != "null" && member.is_spelled(key) {
                last = Some(decode(member.value)?);
            }
        }
        Ok(last)
    }
}

impl<'a> Member<'a> {
    fn new(name_literal: &'a RawValue, value: &'a RawValue) -> Self {
        Self {
            name: name(name_literal),
            name_literal,
            value,
        }
    }

    /// Returns true if the key equals `key` under Unicode's simple case folding. Two
    /// ASCII letters have equivalents outside ASCII: `s` the long s, `k` the Kelvin sign.
    fn is_spelled(&self, key: &str) -> bool {
        debug_assert!(key.len() <= KEY_MAX, "{key} is too long to be found");
        let Some(name) = &self.name else {
            return false;
        };
        if name.is_ascii() {
            return name.eq_ignore_ascii_case(key);
        }
        let folded = name.chars().map(|letter| match letter {
            'ſ' => 's',
            '\u{212a}' => 'k',
            letter => letter.to_ascii_lowercase(),
        });
        folded.eq(key.chars().map(|letter| letter.to_ascii_lowercase()))
    }
}

/// Decodes a key; `None` if it is too long.
fn name(literal: &RawValue) -> Option<Cow<'_, str>> {
    let text = literal.get();
    if text.len() > KEY_LITERAL_MAX {
        return None;
    }
    if text.contains('\\') {
        return string_value(literal).map(Cow::Owned);
    }
    let plain = text.strip_prefix('"')?.strip_suffix('"')?;
    Some(Cow::Borrowed(plain))
}

/// Reads an object or `null` and adds its members, but gives up after one more than
/// [`MEMBERS_MAX`].
struct Members<'v, 'a>(&'v mut Vec<Member<'a>>);

impl<'de> Visitor<'de> for Members<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry()? {
            self.0.push(Member::new(name, value));
            if self.0.len() > MEMBERS_MAX {
                return Err(A::Error::custom("too many members"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The offer, empty if absent; `Err` if the text is refused.
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
        assert_eq!(
            object.unknown_keys(&["a", "b"]).next().as_deref(),
            Some("c\n")
        );
        assert_eq!(object.unknown_keys(&["a", "b", "c\n"]).next(), None);
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
