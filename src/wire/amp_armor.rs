//! Poll responses as AMP pages, which an AMP cache passes on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The required head of an AMP page, which must match exactly:
/// <https://amp.dev/documentation/guides-and-tutorials/learn/spec/amphtml/#required-markup>
/// and, for the style, <https://amp.dev/documentation/guides-and-tutorials/learn/spec/amp-boilerplate>.
const HEAD: &str = concat!(
    "<!doctype html>\n<html amp>\n<head>\n<meta charset=\"utf-8\">\n",
    "<script async src=\"https://cdn.ampproject.org/v0.js\"></script>\n",
    "<link rel=\"canonical\" href=\"#\">\n",
    "<meta name=\"viewport\" content=\"width=device-width\">\n",
    "<style amp-boilerplate>body{-webkit-animation:-amp-start 8s steps(1,end) 0s 1 normal both;",
    "-moz-animation:-amp-start 8s steps(1,end) 0s 1 normal both;",
    "-ms-animation:-amp-start 8s steps(1,end) 0s 1 normal both;",
    "animation:-amp-start 8s steps(1,end) 0s 1 normal both}",
    "@-webkit-keyframes -amp-start{from{visibility:hidden}to{visibility:visible}}",
    "@-moz-keyframes -amp-start{from{visibility:hidden}to{visibility:visible}}",
    "@-ms-keyframes -amp-start{from{visibility:hidden}to{visibility:visible}}",
    "@-o-keyframes -amp-start{from{visibility:hidden}to{visibility:visible}}",
    "@keyframes -amp-start{from{visibility:hidden}to{visibility:visible}}</style>",
    "<noscript><style amp-boilerplate>body{-webkit-animation:none;-moz-animation:none;",
    "-ms-animation:none;animation:none}</style></noscript>\n",
    "</head>\n<body>\n",
);
const FOOT: &str = "</body>\n</html>\n";

/// The length of words. Caches reflow text, which short words survive.
const WORD: usize = 32;
/// The number of words in an element. With its white space an element stays below the 32
/// KiB that the client's HTML tokenizer buffers.
const WORDS_PER_ELEMENT: usize = 32 * 1024 / (WORD + 1) - 1;

/// The page whose `<pre>` elements, joined without white space, contain `0` and the
/// padded base64 of `response`.
pub fn encode(response: &[u8]) -> String {
    let mut text = String::from("0");
    STANDARD.encode_string(response, &mut text);
    let mut page = String::with_capacity(HEAD.len() + text.len() * 17 / 16 + 256);
    page.push_str(HEAD);
    for element in text.as_bytes().chunks(WORD * WORDS_PER_ELEMENT) {
        page.push_str("<pre>\n");
        for word in element.chunks(WORD) {
            // Base64 is ASCII, so no word is ever lost here.
            page.extend(str::from_utf8(word));
            page.push('\n');
        }
        page.push_str("</pre>\n");
    }
    page.push_str(FOOT);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(page: &str) -> Vec<&str> {
        let body = page.strip_prefix(HEAD).unwrap().strip_suffix(FOOT).unwrap();
        body.split_terminator("</pre>\n")
            .map(|element| element.strip_prefix("<pre>").unwrap())
            .collect()
    }

    #[test]
    fn joined_text_is_the_response() {
        for length in [0, 1, 23, 24, 25, 23_700, 100_000] {
            let response: Vec<u8> = (0..length)
                .map(|byte| u8::try_from(byte % 251).unwrap())
                .collect();
            let page = encode(&response);
            let elements = elements(&page);
            assert!(elements.iter().all(|element| element.len() < 32 * 1024));
            let words = || {
                elements
                    .iter()
                    .flat_map(|element| element.split_whitespace())
            };
            assert!(words().all(|word| word.len() <= WORD));
            let text: String = words().collect();
            assert_eq!(
                STANDARD.decode(text.strip_prefix('0').unwrap()).unwrap(),
                response
            );
        }
    }
}
