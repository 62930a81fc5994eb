//! JSON strings as Go reads them: invalid UTF-8 and lone surrogate escapes become U+FFFD.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde_json::value::{RawValue, to_raw_value};

/// A body's text, with U+FFFD for each byte that is not valid UTF-8.
pub(in crate::wire) fn text(body: &[u8]) -> Cow<'_, str> {
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

/// A JSON string with its literal, so that it can be sent on without being escaped again.
#[derive(Debug)]
pub(in crate::wire) struct JsonString<'a> {
    pub(in crate::wire) text: String,
    pub(in crate::wire) literal: Cow<'a, RawValue>,
}

impl<'a> JsonString<'a> {
    /// The string as we would write it.
    pub(in crate::wire) fn of(text: &str) -> Self {
        let literal = to_raw_value(text).expect("a string is JSON");
        Self {
            text: text.to_owned(),
            literal: Cow::Owned(literal),
        }
    }

    /// The text of a literal that was read before.
    pub(in crate::wire) fn text_of(literal: &RawValue) -> String {
        string_value(literal).unwrap_or_default()
    }

    pub(super) fn read(raw: &'a RawValue) -> Option<Self> {
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

/// The text of a string literal; `None` for any other value.
pub(super) fn string_value(raw: &RawValue) -> Option<String> {
    serde_json::from_str::<GoString>(raw.get())
        .ok()
        .map(|string| string.text)
}

/// A string whose lone surrogate escapes count as U+FFFD. `serde_json` returns such
/// strings only as bytes, in which surrogates have their three-byte WTF-8 form.
struct GoString {
    text: String,
    /// True if there was no such escape, so that every reader of the literal gets this
    /// text.
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

/// Decodes WTF-8, with U+FFFD for each surrogate (the bytes `ED A0..=BF xx`).
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
