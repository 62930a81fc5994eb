//! Polls and responses by way of an AMP cache.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

/// The version of the format, in paths and in pages.
const FORMAT: char = '0';

/// The path of a client's poll.
pub(super) fn path(between: &str, poll: &str) -> String {
    let poll = BASE64_URL_SAFE_NO_PAD.encode(poll);
    format!("/amp/client/{FORMAT}{between}/{poll}")
}

/// The response to a poll in a page; an error says what the page lacks.
pub(super) fn response(page: &str) -> Result<Value, &'static str> {
    let mut text = String::new();
    for element in page.split("<pre>").skip(1) {
        let (words, _) = element.split_once("</pre>").ok_or("a <pre> has no end")?;
        text.extend(words.split_ascii_whitespace());
    }
    let encoded = text
        .strip_prefix(FORMAT)
        .ok_or("its text does not begin with 0")?;
    let decoded = BASE64_STANDARD
        .decode(encoded)
        .map_err(|_| "its text is not base64")?;
    serde_json::from_slice(&decoded).map_err(|_| "its text is not JSON")
}
