//! Client polls and their responses (section 2).

use proptest::prelude::*;
use proptest::sample::select;
use snowflake_broker::wire::client::{ClientPoll, encode_answer, encode_error};
use snowflake_broker::wire::fingerprint::Fingerprint;
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::session_description::SessionDescription;

use crate::wire_properties::json_text::{description, object, string, taste, text};

fn fields(body: &[u8]) -> serde_json::Map<String, serde_json::Value> {
    serde_json::from_slice(body).expect("a JSON object")
}

proptest! {
    #[test]
    fn poll_is_read_however_it_is_written(
        sdp in text(), nat in select(NatType::ALL.to_vec()), bytes: [u8; 32], is_long: bool,
        taste in taste(),
    ) {
        let digest = if is_long { &bytes[..] } else { &bytes[..20] };
        let offer = description("offer", &sdp, &taste);
        let body = object(&[
            ("offer", string(&offer, &taste)),
            ("nat", string(nat.as_str(), &taste)),
            ("fingerprint", string(&hex::encode(digest), &taste)),
        ], &taste);
        let poll = ClientPoll::decode(format!("1.0\n{body}").as_bytes()).unwrap();
        prop_assert_eq!(poll.offer.text(), offer);
        prop_assert_eq!(poll.nat, nat);
        prop_assert_eq!(poll.fingerprint.to_string(), hex::encode_upper(digest));
    }

    #[test]
    fn last_of_repeated_keys_counts(sdp in text(), taste in taste()) {
        let first = string(&description("offer", "first", &taste), &taste);
        let last = description("offer", &sdp, &taste);
        let body = object(&[
            ("offer", first),
            ("nat", string("none of the six", &taste)),
            ("offer", string(&last, &taste)),
            ("nat", string("open", &taste)),
            ("offer", "null".to_owned()),
        ], &taste);
        let poll = ClientPoll::decode(format!("1.0\n{body}").as_bytes()).unwrap();
        prop_assert_eq!(poll.offer.text(), last);
        prop_assert_eq!(poll.nat, NatType::Open);
    }

    #[test]
    fn legacy_offer_is_the_body_to_the_byte(sdp in text(), taste in taste()) {
        let body = description("offer", &sdp, &taste);
        let poll = ClientPoll::decode_legacy(body.as_bytes(), Some("moderate")).unwrap();
        prop_assert_eq!(poll.offer.text(), body);
        prop_assert_eq!(poll.nat, NatType::Moderate);
        prop_assert_eq!(poll.fingerprint, Fingerprint::DEFAULT);
    }

    #[test]
    fn answer_passes_to_the_byte(sdp in text(), taste in taste()) {
        let answer = description("answer", &sdp, &taste);
        let body = encode_answer(&SessionDescription::parse(&answer).unwrap());
        prop_assert!(body.iter().all(|&byte| byte >= b' '), "control characters are escaped");
        let fields = fields(&body);
        prop_assert_eq!(fields.len(), 1);
        prop_assert_eq!(fields["answer"].as_str(), Some(&*answer));
    }

    #[test]
    fn error_passes_as_it_is(error in text()) {
        let fields = fields(&encode_error(&error));
        prop_assert_eq!(fields.len(), 1);
        prop_assert_eq!(fields["error"].as_str(), Some(&*error));
    }
}

#[test]
fn responses_to_the_byte() {
    let answer = SessionDescription::parse(r#"{"type":"answer","sdp":"v=0\r\n"}"#).unwrap();
    assert_eq!(
        encode_answer(&answer),
        br#"{"answer":"{\"type\":\"answer\",\"sdp\":\"v=0\\r\\n\"}"}"#
    );
    assert_eq!(
        encode_error("no snowflake proxies currently available"),
        br#"{"error":"no snowflake proxies currently available"}"#
    );
}

#[test]
fn a_brace_begins_the_legacy_form() {
    assert!(ClientPoll::is_legacy(b"{"));
    for other in [&b""[..], b" {", b"1.0\n{}", b"\xef\xbb\xbf{"] {
        assert!(!ClientPoll::is_legacy(other));
    }
}

#[test]
fn legacy_nat_is_checked() {
    let offer = br#"{"type":"offer","sdp":""}"#;
    for (header, nat) in [
        (None, NatType::Unknown),
        (Some(""), NatType::Unknown),
        (Some("restricted"), NatType::Restricted),
    ] {
        assert_eq!(ClientPoll::decode_legacy(offer, header).unwrap().nat, nat);
    }
    for wrong in ["Open", " open", "symmetric"] {
        assert!(ClientPoll::decode_legacy(offer, Some(wrong)).is_err());
    }
}

#[test]
fn legacy_body_that_is_no_offer_is_refused() {
    for wrong in [
        "{",
        "{}",
        r#"{"type":"offer"}"#,
        r#"{"type":"offer","sdp":""}x"#,
    ] {
        assert!(
            ClientPoll::decode_legacy(wrong.as_bytes(), None).is_err(),
            "{wrong}"
        );
    }
}
