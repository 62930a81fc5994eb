//! Client polls in URL paths, and responses in AMP pages (section 5).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::collection::vec;
use proptest::prelude::*;
use snowflake_broker::wire::{amp_armor, amp_path};

/// Decodes a page as a client does: the texts of all `pre` elements, joined without white
/// space, after the format.
fn unarmor(page: &str) -> Vec<u8> {
    let elements = page.split("<pre>").skip(1);
    let texts = elements.map(|element| {
        let (text, _) = element.split_once("</pre>").expect("elements are closed");
        assert!(text.len() < 32 * 1024, "an element is too long to be read");
        text
    });
    let joined: String = texts.flat_map(str::split_ascii_whitespace).collect();
    let base64 = joined.strip_prefix('0').expect("the format");
    STANDARD.decode(base64).expect("padded base64")
}

proptest! {
    #[test]
    fn path_round_trip(poll in vec(any::<u8>(), 0..300), cache in "[a-zA-Z0-9/_=.-]{0,20}") {
        let path = format!("0{cache}/{}", URL_SAFE_NO_PAD.encode(&poll));
        prop_assert_eq!(amp_path::decode(&path), Ok(poll));
    }

    #[test]
    fn line_breaks_inside_the_base64_are_skipped(
        poll in vec(any::<u8>(), 0..100), breaks in vec((any::<usize>(), 0..4_usize), 0..8),
    ) {
        let mut data = URL_SAFE_NO_PAD.encode(&poll);
        for (at, which) in breaks {
            let places: Vec<usize> = (0..=data.len())
                .filter(|&at| !data[..at].ends_with('%') && !data[..at].ends_with("%0"))
                .collect();
            data.insert_str(places[at % places.len()], ["\r", "\n", "%0D", "%0a"][which]);
        }
        prop_assert_eq!(amp_path::decode(&format!("0/{data}")), Ok(poll));
    }

    #[test]
    fn armor_can_be_taken_off(response in vec(any::<u8>(), 0..3000)) {
        prop_assert_eq!(unarmor(&amp_armor::encode(&response)), response);
    }
}

#[test]
fn armor_of_the_largest_responses_can_be_taken_off() {
    for length in [23_782, 23_783, 23_784, 23_785, 100_000, 300_000] {
        let response = vec![b'x'; length];
        assert_eq!(unarmor(&amp_armor::encode(&response)), response);
    }
}

#[test]
fn words_of_32_bytes_one_a_line() {
    let page = amp_armor::encode(&[0; 100]);
    let (_, text) = page.split_once("<pre>\n").unwrap();
    let (text, _) = text.split_once("</pre>").unwrap();
    let lengths: Vec<usize> = text.lines().map(str::len).collect();
    assert_eq!(lengths, [32, 32, 32, 32, 9]);
}

#[test]
fn anything_else_cannot_be_decoded() {
    for path in [
        "", "0", "0abc", "1/MS4w", "/0/MS4w", "0/MS4w=", "0/MS+w", "0/MS4w/x", "0/%zz",
    ] {
        let error = amp_path::decode(path).unwrap_err();
        assert_eq!(error.to_string(), "cannot decode URL path", "{path}");
    }
}
