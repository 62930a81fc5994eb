//! Proxy answers (section 4).

use proptest::prelude::*;
use snowflake_broker::wire::answer::{AnswerStatus, InvalidProxyAnswer, ProxyAnswer};
use snowflake_broker::wire::proxy::Sid;

use crate::wire_properties::json_text::{description, object, string, taste, text};

/// The raw body must contain this text; an unknown member always does.
const CANDIDATE: &str = "\"a=candidate\"";

proptest! {
    #[test]
    fn answer_is_read_however_it_is_written(
        sid in text().prop_filter("not empty", |sid| !sid.is_empty()),
        sdp in text(),
        taste in taste(),
    ) {
        let answer = description("answer", &sdp, &taste);
        let body = object(&[
            ("Version", string("1.0", &taste)),
            ("Sid", string(&sid, &taste)),
            ("Answer", string(&answer, &taste)),
        ], &taste).replacen('{', &format!("{{\"extra\":{CANDIDATE},"), 1);
        let decoded = ProxyAnswer::decode(body.as_bytes()).unwrap();
        prop_assert_eq!(decoded.answer.text(), answer);
        prop_assert_eq!(decoded.sid, Sid::new(&sid).unwrap());
    }
}

/// The error of each value of a field; fields in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Candidate,
    Json,
    Version,
    Sid,
    NoAnswer,
    Answer,
}

fn fault(body: &str) -> Fault {
    match ProxyAnswer::decode(body.as_bytes()) {
        Ok(_) => Fault::None,
        Err(InvalidProxyAnswer::NoCandidate) => Fault::Candidate,
        Err(InvalidProxyAnswer::Json(_)) => Fault::Json,
        Err(InvalidProxyAnswer::Version) => Fault::Version,
        Err(InvalidProxyAnswer::NoSid) => Fault::Sid,
        Err(InvalidProxyAnswer::NoAnswer) => Fault::NoAnswer,
        Err(InvalidProxyAnswer::Answer(_)) => Fault::Answer,
    }
}

#[test]
fn of_several_wrongs_the_first_in_the_order_is_told() {
    let extras = [
        (CANDIDATE, Fault::None),
        (r#""a=candi\u0064ate""#, Fault::Candidate),
    ];
    let ends = [("", Fault::None), ("x", Fault::Json)];
    let versions = [
        ("\"1.2\"", Fault::None),
        ("\"2.0\"", Fault::Version),
        ("null", Fault::Version),
        ("1.0", Fault::Json),
    ];
    let sids = [
        ("\"x\"", Fault::None),
        ("\"\"", Fault::Sid),
        ("null", Fault::Sid),
        ("1", Fault::Json),
    ];
    let answers = [
        (r#""{\"type\":\"answer\",\"sdp\":\"\"}""#, Fault::None),
        ("\"\"", Fault::NoAnswer),
        ("null", Fault::NoAnswer),
        ("\"fake\"", Fault::Answer),
        (r#""{\"type\":\"answer\"}""#, Fault::Answer),
        (r#"{"type":"answer","sdp":""}"#, Fault::Json),
    ];
    let order = [
        Fault::Candidate,
        Fault::Json,
        Fault::Version,
        Fault::Sid,
        Fault::NoAnswer,
        Fault::Answer,
    ];
    for extra in extras {
        for end in ends {
            for version in versions {
                for sid in sids {
                    for answer in answers {
                        let faults = [extra.1, end.1, version.1, sid.1, answer.1];
                        let first = order.into_iter().find(|fault| faults.contains(fault));
                        let body = format!(
                            r#"{{"x":{},"Answer":{},"Sid":{},"Version":{}}}{}"#,
                            extra.0, answer.0, sid.0, version.0, end.0
                        );
                        assert_eq!(fault(&body), first.unwrap_or(Fault::None), "{body}");
                    }
                }
            }
        }
    }
}

#[test]
fn absent_members_are_told() {
    assert_eq!(fault(r#"{"x":"a=candidate"}"#), Fault::Version);
    assert_eq!(fault(r#"{"x":"a=candidate","Version":"1"}"#), Fault::Sid);
    let no_answer = r#"{"x":"a=candidate","Version":"1","Sid":"x"}"#;
    assert_eq!(fault(no_answer), Fault::NoAnswer);
    assert_eq!(fault("a=candidate"), Fault::Json);
    assert_eq!(fault(""), Fault::Candidate);
}

#[test]
fn responses_to_the_byte() {
    assert_eq!(AnswerStatus::Success.encode(), br#"{"Status":"success"}"#);
    assert_eq!(
        AnswerStatus::ClientGone.encode(),
        br#"{"Status":"client gone"}"#
    );
}
