//! No decoder panics, whatever the bytes are.

use proptest::collection::vec;
use proptest::prelude::*;
use snowflake_broker::wire::amp_path;
use snowflake_broker::wire::answer::ProxyAnswer;
use snowflake_broker::wire::client::ClientPoll;
use snowflake_broker::wire::fingerprint::Fingerprint;
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::{ProxyPoll, ProxyTypes};
use snowflake_broker::wire::relay_pattern::RelayPattern;
use snowflake_broker::wire::session_description::SessionDescription;

const MESSAGES: [&str; 4] = [
    "1.0\n{\"offer\":\"{\\\"type\\\":\\\"offer\\\",\\\"sdp\\\":\\\"v=0\\\"}\",\"nat\":\"open\"}",
    r#"{"type":"offer","sdp":"v=0\r\n\ud83d\ude00"}"#,
    r#"{"Sid":"x","Version":"1.3","Type":"webext","NAT":"open","Clients":8,"AcceptedRelayPattern":"^a$"}"#,
    r#"{"Version":"1.3","Sid":"x","Answer":"{\"type\":\"answer\",\"sdp\":\"a=candidate\"}"}"#,
];

/// Runs all decoders. Returns the number that accepted the body.
fn decode(body: &[u8]) -> usize {
    let text = String::from_utf8_lossy(body);
    let taken = [
        ProxyPoll::decode(body, &ProxyTypes::default()).is_ok(),
        ProxyAnswer::decode(body).is_ok(),
        ClientPoll::decode(body).is_ok(),
        ClientPoll::decode_legacy(body, Some(&text)).is_ok(),
        ClientPoll::decode_legacy(body, None).is_ok(),
        amp_path::decode(&text).is_ok(),
        SessionDescription::parse(&text).is_ok(),
        text.parse::<NatType>().is_ok(),
        text.parse::<Fingerprint>().is_ok(),
        text.parse::<RelayPattern>().is_ok(),
    ];
    taken.into_iter().filter(|taken| *taken).count()
}

proptest! {
    #[test]
    fn arbitrary_bytes(body in vec(any::<u8>(), 0..200)) {
        decode(&body);
    }

    #[test]
    fn arbitrary_bytes_after_a_right_beginning(body in vec(any::<u8>(), 0..50)) {
        for beginning in ["1.0\n", "1.0\n{\"offer\":\"", "{\"Sid\":\"\\u", "0/", "{\"a=candidate\":"] {
            decode(&[beginning.as_bytes(), &body].concat());
        }
    }

    #[test]
    fn messages_with_wrong_bytes(
        which in 0..MESSAGES.len(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut: prop::sample::Index,
    ) {
        let mut body = MESSAGES[which].as_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        decode(&body);
        body.truncate(cut.index(body.len()));
        decode(&body);
    }
}

#[test]
fn the_messages_are_right() {
    for message in MESSAGES {
        // Any text is a relay pattern.
        assert!(decode(message.as_bytes()) > 1, "{message}");
    }
}

#[test]
fn deep_nesting_is_read() {
    for (open, close) in [("[", "]"), ("{\"x\":", "}")] {
        let deep = format!("{}1{}", open.repeat(5000), close.repeat(5000));
        let poll = format!(r#"{{"x":{deep},"Sid":"x","Version":"1"}}"#);
        assert!(ProxyPoll::decode(poll.as_bytes(), &ProxyTypes::default()).is_ok());
        let offer = format!(r#"{{"x":{deep},"type":"offer","sdp":""}}"#);
        assert!(SessionDescription::parse(&offer).is_ok());
        decode(format!("1.0\n{{\"offer\":{deep}}}").as_bytes());
        decode(open.repeat(90_000).as_bytes());
    }
}
