//! JSON as others may write it: keys in any case, characters escaped in any way that JSON
//! allows, white space and unknown members anywhere.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Choices of spelling, used cyclically.
pub(crate) type Taste = Vec<u8>;

pub(crate) fn taste() -> impl Strategy<Value = Taste> {
    vec(any::<u8>(), 1..40)
}

/// Text with troublesome characters: quotes, control characters, line separators,
/// characters outside the basic plane.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let troublesome = select(vec![
        '"',
        '\\',
        '/',
        '\0',
        '\u{1f}',
        '\u{7f}',
        '\n',
        '\r',
        '\u{2028}',
        '\u{2029}',
        '\u{fffd}',
        '\u{ffff}',
        '😀',
        '\u{10ffff}',
        '<',
        '&',
        'ſ',
        'é',
    ]);
    let character = prop_oneof![any::<char>(), troublesome, proptest::char::range(' ', '~')];
    vec(character, 0..60).prop_map(String::from_iter)
}

/// The JSON string for `text`, with each character spelled by `taste`.
pub(crate) fn string(text: &str, taste: &[u8]) -> String {
    let mut json = String::from("\"");
    for (character, choice) in text.chars().zip(taste.iter().cycle()) {
        push_spelled(&mut json, character, choice % 3);
    }
    json + "\""
}

fn push_spelled(json: &mut String, character: char, choice: u8) {
    let short = match character {
        '"' => Some("\\\""),
        '\\' => Some("\\\\"),
        '\n' => Some("\\n"),
        '\r' => Some("\\r"),
        '\t' => Some("\\t"),
        '\u{8}' => Some("\\b"),
        '\u{c}' => Some("\\f"),
        '/' => Some("\\/"),
        _ => None,
    };
    match (choice, short) {
        (0, Some(short)) => json.push_str(short),
        (0 | 1, None) if character >= ' ' => json.push(character),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(json, "\\u{unit:04x}").expect("a String takes all");
            }
        }
    }
}

/// A key, with upper and lower case by `taste`.
pub(crate) fn key(name: &str, taste: &[u8]) -> String {
    let letters = name.chars().zip(taste.iter().cycle());
    let recased: String = letters
        .map(|(letter, choice)| match choice % 3 {
            0 => letter.to_ascii_uppercase(),
            1 => letter.to_ascii_lowercase(),
            _ => letter,
        })
        .collect();
    string(&recased, &taste.iter().rev().copied().collect::<Vec<_>>())
}

/// An object of these members, whose values are JSON, with unknown members in between.
pub(crate) fn object(members: &[(&str, String)], taste: &[u8]) -> String {
    const UNKNOWN: [&str; 4] = [
        "",
        r#""x":{"offer":1,"Sid":[]},"#,
        r#""offers":7, "ſidd":null ,"#,
        "\"\\ud800\":[[],\"\\udfff\",-0.5e-7],",
    ];
    const SPACE: [&str; 4] = ["", " ", "\n\t", "\r\n "];
    let mut choices = taste.iter().cycle().map(|&choice| usize::from(choice));
    let mut next = |from: [&'static str; 4]| from[choices.next().unwrap_or_default() % 4];
    let mut json = String::from("{");
    for (index, (name, value)) in members.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let (before, after) = (next(SPACE), next(SPACE));
        let name = key(name, taste);
        let unknown = next(UNKNOWN);
        write!(
            json,
            "{comma}{before}{unknown}{name}{after}:{before}{value}{after}"
        )
        .expect("a String takes all");
    }
    json + "}" + next(SPACE)
}

/// A session description of this type, spelled by `taste`.
pub(crate) fn description(kind: &str, sdp: &str, taste: &[u8]) -> String {
    let kind = string(kind, taste);
    let sdp = string(sdp, taste);
    if taste[0].is_multiple_of(2) {
        format!(r#"{{"type":{kind},"sdp":{sdp}}}"#)
    } else {
        format!(r#" {{ "sdp" : {sdp}, "more":[1], "type" : {kind} }} "#)
    }
}
