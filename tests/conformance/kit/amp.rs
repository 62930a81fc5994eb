//! Polls and responses by way of an AMP cache.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

/// The version of the format, in paths and in pages.
const FORMAT: char = '0';
/// The longest word, which caches leave as it is.
const WORD_MAX: usize = 32;
/// Clients read elements that are shorter than this.
const ELEMENT_BELOW: usize = 32 * 1024;

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
        if words.len() >= ELEMENT_BELOW {
            return Err("a <pre> has 32 KiB or more");
        }
        for word in words.split_ascii_whitespace() {
            if word.len() > WORD_MAX {
                return Err("a word has more than 32 bytes");
            }
            text.push_str(word);
        }
    }
    let encoded = text
        .strip_prefix(FORMAT)
        .ok_or("its text does not begin with 0")?;
    let decoded = BASE64_STANDARD
        .decode(encoded)
        .map_err(|_| "its text is not base64")?;
    serde_json::from_slice(&decoded).map_err(|_| "its text is not JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(elements: &[String]) -> String {
        let elements = elements
            .iter()
            .map(|words| format!("<pre>\n{words}\n</pre>\n"));
        format!(
            "<html amp><body>{}</body></html>",
            elements.collect::<String>()
        )
    }

    #[test]
    fn a_page_is_read_as_clients_read_it() {
        let encoded = BASE64_STANDARD.encode("{\"answer\":\"a\"}");
        let (first, second) = encoded.split_at(7);
        let read = response(&page(&[format!("0{first}"), format!("{second}\n")]));
        assert_eq!(read, Ok(serde_json::json!({"answer": "a"})));
    }

    #[test]
    fn what_caches_or_clients_would_refuse_is_told() {
        let word = "A".repeat(WORD_MAX + 1);
        let element = "AAAA\n".repeat(ELEMENT_BELOW / 5 + 1);
        for (elements, problem) in [
            (vec![], "its text does not begin with 0"),
            (vec!["1AAAA".to_owned()], "its text does not begin with 0"),
            (vec!["0AAA".to_owned()], "its text is not base64"),
            (vec!["0AAAA".to_owned()], "its text is not JSON"),
            (vec![word], "a word has more than 32 bytes"),
            (vec![element], "a <pre> has 32 KiB or more"),
        ] {
            assert_eq!(response(&page(&elements)), Err(problem));
        }
        assert_eq!(response("<pre>0"), Err("a <pre> has no end"));
    }
}
