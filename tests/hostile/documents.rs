//! The most expensive documents that fit into a body, whoever sends them.

use std::iter::repeat_n;

/// The maximum size of a body, less what surrounds the document.
const MOST: usize = 99_000;

/// Documents with names, each of nearly the maximum size.
pub(crate) fn documents() -> Vec<(&'static str, Vec<u8>)> {
    let fill = |unit: &str| unit.repeat(MOST / unit.len());
    let members = |unit: &str| format!("{{{}\"a\":1}}", fill(unit));
    let text = |name, text: String| (name, text.into_bytes());
    vec![
        text("arrays in arrays", fill("[")),
        text("objects in objects", fill("{\"a\":")),
        text(
            "arrays that end",
            "[".repeat(MOST / 2) + &"]".repeat(MOST / 2),
        ),
        text("many members", members("\"a\":1,")),
        text("many members of ours", members("\"Sid\":\"\",")),
        text("keys of escapes", members("\"\\u0053id\":1,")),
        text("keys that only begin as ours", members("\"\u{17f}id\":1,")),
        text(
            "one key of escapes",
            format!("{{\"{}\":1}}", fill("\\u0041")),
        ),
        text(
            "surrogates",
            format!("{{\"offer\":\"{}\"}}", fill("\\ud800")),
        ),
        text("a long number", format!("{{\"Clients\":{}}}", fill("9"))),
        text(
            "a long fraction",
            format!("{{\"Clients\":0.{}}}", fill("9")),
        ),
        text(
            "a long exponent",
            format!("{{\"Clients\":1e{}}}", fill("9")),
        ),
        text("white space", fill(" ")),
        text(
            "strings in a list",
            format!("{{\"a\":[{}0]}}", fill("\"\",")),
        ),
        text("no end", format!("{{\"a\":\"{}", fill("\\\\"))),
        ("no text", repeat_n(0xff, MOST).collect()),
        (
            "cut letters",
            [
                &b"{\"Sid\":\""[..],
                &"\u{20ac}".repeat(MOST / 3).as_bytes()[1..],
            ]
            .concat(),
        ),
    ]
}
