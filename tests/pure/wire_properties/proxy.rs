//! Proxy polls and their responses (section 3).

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::{
    InvalidProxyPoll, PollResponse, PollStatus, ProxyPoll, ProxyType, ProxyTypes, Sid,
    TYPE_NAME_MAX,
};
use snowflake_broker::wire::relay_pattern::RelayPattern;
use snowflake_broker::wire::session_description::SessionDescription;

use crate::wire_properties::json_text::{description, object, string, taste, text};

proptest! {
    #[test]
    fn poll_is_read_however_it_is_written(
        sid in text().prop_filter("not empty", |sid| !sid.is_empty()),
        nat in select(NatType::ALL.to_vec()),
        proxy_type in select(ProxyType::DEFAULT.to_vec()),
        clients: i64,
        pattern in text(),
        taste in taste(),
    ) {
        let body = object(&[
            ("Sid", string(&sid, &taste)),
            ("Version", string("1.3", &taste)),
            ("Type", string(proxy_type.as_str(), &taste)),
            ("NAT", string(nat.as_str(), &taste)),
            ("Clients", clients.to_string()),
            ("AcceptedRelayPattern", string(&pattern, &taste)),
        ], &taste);
        let poll = ProxyPoll::decode(body.as_bytes(), &ProxyTypes::default()).unwrap();
        prop_assert_eq!(poll, ProxyPoll {
            sid: Sid::new(&sid).unwrap(),
            proxy_type,
            type_name: Some(proxy_type.as_str().into()),
            nat,
            clients: u64::try_from(clients).unwrap_or(0),
            accepted_relay_pattern: Some(RelayPattern::from(&*pattern)),
        });
    }

    #[test]
    fn offer_passes_to_the_byte(
        sdp in text(), nat in select(NatType::ALL.to_vec()), relay_url in text(), millis: u32,
        taste in taste(),
    ) {
        let offer = description("offer", &sdp, &taste);
        let body = PollResponse {
            status: PollStatus::ClientMatch {
                offer: SessionDescription::parse(&offer).unwrap(),
                nat,
                relay_url: relay_url.as_str().into(),
            },
            next_poll: Duration::from_millis(millis.into()),
        }.encode();
        prop_assert!(body.iter().all(|&byte| byte >= b' '), "control characters are escaped");
        let fields: serde_json::Value = serde_json::from_slice(&body).unwrap();
        prop_assert_eq!(fields, serde_json::json!({
            "Status": "client match",
            "Offer": offer,
            "NAT": nat.as_str(),
            "NextPoll": millis,
            "RelayURL": relay_url,
        }));
    }
}

/// Decodes a poll with these members; the others are valid.
fn decode(changes: &[(&str, &str)]) -> Result<ProxyPoll, InvalidProxyPoll> {
    let mut members = vec![("Sid", "\"x\""), ("Version", "\"1.0\"")];
    members.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    members.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    ProxyPoll::decode(
        format!("{{{}}}", members.join(",")).as_bytes(),
        &ProxyTypes::default(),
    )
}

#[test]
fn absent_fields_have_their_defaults() {
    for changes in [
        &[][..],
        &[
            ("Type", "null"),
            ("NAT", "null"),
            ("Clients", "null"),
            ("AcceptedRelayPattern", "null"),
        ],
    ] {
        let poll = decode(changes).unwrap();
        assert_eq!(poll.proxy_type, ProxyType::UNKNOWN);
        assert_eq!(poll.nat, NatType::Unknown);
        assert_eq!(poll.clients, 0);
        assert_eq!(poll.accepted_relay_pattern, None);
    }
    assert_eq!(decode(&[("NAT", "\"\"")]).unwrap().nat, NatType::Unknown);
}

#[test]
fn version_is_1_before_the_first_dot() {
    for right in ["1", "1.", "1.0", "1.3", "1.x.9", "1.2.3"] {
        assert!(
            decode(&[("Version", &format!("\"{right}\""))]).is_ok(),
            "{right}"
        );
    }
    for wrong in [
        "\"\"", "\"2.0\"", "\"10\"", "\"01.0\"", "\" 1.0\"", "\".1\"", "null", "",
    ] {
        let error = decode(&[("Version", wrong)]).unwrap_err();
        assert!(matches!(error, InvalidProxyPoll::Version), "{wrong}");
    }
}

#[test]
fn sid_is_there_and_not_empty() {
    for wrong in ["\"\"", "null", ""] {
        let error = decode(&[("Sid", wrong)]).unwrap_err();
        assert!(matches!(error, InvalidProxyPoll::NoSid), "{wrong}");
    }
    assert!(decode(&[("Sid", "\" \"")]).is_ok());
}

#[test]
fn of_a_sid_no_more_than_a_digest_is_kept() {
    fn is_without_heap<T: Copy>(_: T) -> usize {
        size_of::<T>()
    }
    let sid = format!("\"{}\"", "secret".repeat(10_000));
    let poll = decode(&[("Sid", &*sid)]).unwrap();
    assert_eq!(is_without_heap(poll.sid), 32);
    assert!(!format!("{poll:?}").contains("secret"));
}

#[test]
fn nat_is_one_of_the_six_words() {
    for wrong in ["\"Open\"", "\"none\"", "\" open\"", "\"ſtrict\""] {
        let error = decode(&[("NAT", wrong)]).unwrap_err();
        assert!(matches!(error, InvalidProxyPoll::Nat(_)), "{wrong}");
    }
}

#[test]
fn wrong_types_are_refused() {
    for changes in [
        ("Sid", "1"),
        ("Version", "1"),
        ("Version", "1.0"),
        ("Type", "[]"),
        ("NAT", "{}"),
        ("AcceptedRelayPattern", "true"),
        ("Clients", "\"1\""),
        ("Clients", "1.0"),
        ("Clients", "1e3"),
        ("Clients", "9223372036854775808"),
        ("Clients", "-9223372036854775809"),
    ] {
        let error = decode(&[changes]).unwrap_err();
        assert!(matches!(error, InvalidProxyPoll::Json(_)), "{changes:?}");
    }
}

#[test]
fn negative_clients_count_as_none() {
    for (value, clients) in [
        ("-1", 0),
        ("-9223372036854775808", 0),
        ("-0", 0),
        ("7", 7),
        ("9223372036854775807", i64::MAX.unsigned_abs()),
    ] {
        assert_eq!(decode(&[("Clients", value)]).unwrap().clients, clients);
    }
}

#[test]
fn other_types_are_unknown_and_served() {
    for word in ["Standalone", "snowflake-ios", "", "unknown", "😀"] {
        let poll = decode(&[("Type", &format!("\"{word}\""))]).unwrap();
        assert_eq!(poll.proxy_type, ProxyType::UNKNOWN);
        assert_eq!(poll.type_name.as_deref(), Some(word));
    }
}

#[test]
fn a_type_that_is_too_long_has_no_name() {
    for (length, is_kept) in [(TYPE_NAME_MAX, true), (TYPE_NAME_MAX + 1, false)] {
        let word = format!("\"{}\"", "x".repeat(length));
        let poll = decode(&[("Type", &word)]).unwrap();
        assert_eq!(poll.type_name.is_some(), is_kept);
    }
}

#[test]
fn what_is_no_json_object_is_refused() {
    let right = r#"{"Sid":"x","Version":"1.0"}"#;
    assert!(ProxyPoll::decode(format!(" {right}\r\n").as_bytes(), &ProxyTypes::default()).is_ok());
    for wrong in [
        "",
        "[]",
        "\"\"",
        &format!("{right}x"),
        &format!("{right}{right}"),
        &right[1..],
    ] {
        assert!(
            ProxyPoll::decode(wrong.as_bytes(), &ProxyTypes::default()).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn answers_without_a_match_have_all_keys() {
    for (status, word) in [
        (PollStatus::NoMatch, "no match"),
        (PollStatus::IncorrectRelayPattern, "incorrect relay pattern"),
        (PollStatus::PolledTooSoon, "polled too soon"),
    ] {
        let next_poll = Duration::from_secs(20);
        let body = PollResponse { status, next_poll }.encode();
        let expected =
            format!(r#"{{"Status":"{word}","Offer":"","NAT":"","NextPoll":20000,"RelayURL":""}}"#);
        assert_eq!(body, expected.as_bytes());
    }
}
