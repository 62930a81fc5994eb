//! The table of section 2, row by row and in its order.

use snowflake_broker::wire::client::ClientPoll;

/// The values of one field: valid ones, and one for each kind of error.
const FIRST_LINES: [&str; 8] = [
    "1.0\n", "", "1.0", "1.0\r\n", "1.1\n", " 1.0\n", "2.0\n", "\n1.0\n",
];
const OFFERS: [Option<&str>; 9] = [
    Some(r#""{\"type\":\"offer\",\"sdp\":\"\"}""#),
    None,
    Some("null"),
    Some(r#""""#),
    Some(r#""fake""#),
    Some(r#""[]""#),
    Some(r#""{\"type\":\"offer\"}""#),
    Some(r#""{\"type\":\"proposal\",\"sdp\":\"\"}""#),
    Some("{}"),
];
const FINGERPRINTS: [Option<&str>; 9] = [
    Some(r#""2b280b23e1107bb62abfc40ddcc8824814f80a72""#),
    None,
    Some("null"),
    Some(r#""""#),
    Some(r#""2b280b23e1107bb62abfc40ddcc8824814f80a720123456789abcdef01234567""#),
    Some(r#""2b28""#),
    Some(r#""xx280b23e1107bb62abfc40ddcc8824814f80a72""#),
    Some(r#"" 2b280b23e1107bb62abfc40ddcc8824814f80a72""#),
    Some("1"),
];
const NATS: [Option<&str>; 7] = [
    Some(r#""unrestricted""#),
    None,
    Some("null"),
    Some(r#""""#),
    Some(r#""Open""#),
    Some(r#""symmetric""#),
    Some("[]"),
];
const ENDS: [&str; 4] = ["", " \t\r\n", "x", "{}"];

/// The error that the table requires; of several errors, the first row counts.
fn expected(
    first: usize,
    offer: usize,
    fingerprint: usize,
    nat: usize,
    end: usize,
) -> &'static str {
    let wrong_type = offer == 8 || fingerprint == 8 || nat == 6;
    if first > 0 {
        "unsupported message version"
    } else if wrong_type || end > 1 {
        "malformed request: "
    } else if (1..4).contains(&offer) {
        "no supplied offer"
    } else if offer > 3 {
        "malformed session description: "
    } else if fingerprint > 4 {
        "cannot decode fingerprint"
    } else if nat > 3 {
        "invalid NAT type"
    } else {
        ""
    }
}

fn member(name: &str, value: Option<&str>) -> Option<String> {
    value.map(|value| format!("\"{name}\":{value}"))
}

fn check(first: usize, offer: usize, fingerprint: usize, nat: usize, end: usize) {
    let members: Vec<String> = [
        member("nat", NATS[nat]),
        member("fingerprint", FINGERPRINTS[fingerprint]),
        member("offer", OFFERS[offer]),
    ]
    .into_iter()
    .flatten()
    .collect();
    let body = format!(
        "{}{{{}}}{}",
        FIRST_LINES[first],
        members.join(","),
        ENDS[end]
    );
    let error = ClientPoll::decode(body.as_bytes())
        .err()
        .map_or(String::new(), |error| error.to_string());
    let expected = expected(first, offer, fingerprint, nat, end);
    if expected.ends_with(": ") {
        assert!(error.starts_with(expected), "{body:?}: {error}");
    } else {
        assert_eq!(error, expected, "{body:?}");
    }
}

#[test]
fn of_several_wrongs_the_first_row_of_the_table_is_told() {
    for first in 0..FIRST_LINES.len() {
        for offer in 0..OFFERS.len() {
            for fingerprint in 0..FINGERPRINTS.len() {
                for nat in 0..NATS.len() {
                    for end in 0..ENDS.len() {
                        check(first, offer, fingerprint, nat, end);
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_no_json_object_is_a_malformed_request() {
    for json in [
        "",
        "x",
        "[]",
        "\"\"",
        "1",
        "{",
        "{]",
        "{\"offer\"}",
        "{offer:1}",
    ] {
        let error = ClientPoll::decode(format!("1.0\n{json}").as_bytes()).unwrap_err();
        assert!(
            error.to_string().starts_with("malformed request: "),
            "{json}"
        );
    }
}

#[test]
fn null_is_an_object_without_an_offer() {
    let error = ClientPoll::decode(b"1.0\nnull").unwrap_err();
    assert_eq!(error.to_string(), "no supplied offer");
}

#[test]
fn lone_surrogates_in_an_offer_become_replacement_characters() {
    let body = br#"1.0
{"offer":"{\"type\":\"offer\",\"sdp\":\"\ud800x\udfff\ud83d\ude00\"}"}"#;
    let poll = ClientPoll::decode(body).unwrap();
    let offer = "{\"type\":\"offer\",\"sdp\":\"\u{fffd}x\u{fffd}😀\"}";
    assert_eq!(poll.offer.text(), offer);
}

#[test]
fn escapes_inside_the_offer_are_left_alone() {
    let body = br#"1.0
{"offer":"{\"type\":\"offer\",\"sdp\":\"\\ud800\\u2028\\/\"}"}"#;
    let poll = ClientPoll::decode(body).unwrap();
    let offer = r#"{"type":"offer","sdp":"\ud800\u2028\/"}"#;
    assert_eq!(poll.offer.text(), offer);
}
