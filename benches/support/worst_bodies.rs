//! Bodies of the maximum size, each made to cost as much as its kind can. Most of them
//! are refused.

/// The default of `http.max_body_bytes`.
const BYTES: usize = 100_000;

/// Bodies of `POST /proxy`, each with a name.
pub(crate) fn proxy_polls() -> Vec<(&'static str, Vec<u8>)> {
    let poll = |head: &[u8], repeated: &[u8], tail: &[u8]| {
        let count = (BYTES - head.len() - tail.len()) / repeated.len();
        [head, &repeated.repeat(count), tail].concat()
    };
    let poll_end = br#"","Sid":"x","Version":"1","NAT":"open"}"#;
    vec![
        ("empty keys", poll(b"{", br#""":0,"#, br#""":0}"#)),
        (
            "keys that are nearly known",
            poll(b"{", br#""acceptedrelaypatters":"","#, br#""":0}"#),
        ),
        (
            "keys written in escapes",
            poll(b"{", br#""\u0053":0,"#, br#""":0}"#),
        ),
        (
            "keys outside ASCII",
            poll(b"{", "\"ſ\":0,".as_bytes(), br#""":0}"#),
        ),
        (
            "one known key over and over",
            poll(b"{", br#""Sid":"x","#, br#""NAT":""}"#),
        ),
        (
            "a key of escapes",
            poll(b"{\"", br"\u017f", br#"":0,"Sid":"x","Version":"1"}"#),
        ),
        (
            "64 keys of escapes",
            poll(b"{\"", &long_key(), br#"":0,"Sid":"x","Version":"1"}"#),
        ),
        (
            "a Sid of escapes",
            poll(br#"{"SID":""#, br"\u0041", poll_end),
        ),
        ("a Sid of line ends", poll(br#"{"SID":""#, br"\n", poll_end)),
        (
            "a Sid of lone surrogates",
            poll(br#"{"SID":""#, br"\ud800", poll_end),
        ),
        (
            "a pattern outside ASCII",
            poll(br#"{"AcceptedRelayPattern":""#, "é".as_bytes(), poll_end),
        ),
        ("no UTF-8", poll(br#"{"x":""#, b"\xff", poll_end)),
        (
            "halves of UTF-8 characters",
            poll(br#"{"x":""#, b"\xe2\x82", poll_end),
        ),
        (
            "no UTF-8 under a known key",
            poll(br#"{"SID":""#, b"\xff", poll_end),
        ),
        ("nested lists", poll(br#"{"x":"#, b"[", b"")),
        ("nested objects", poll(br#"{"x":"#, br#"{"x":"#, b"")),
        ("a long number", poll(br#"{"Clients":1"#, b"0", b"}")),
        (
            "a list",
            poll(br#"{"x":["#, b"0,", br#"0],"Sid":"x","Version":"1"}"#),
        ),
    ]
}

/// A key of escapes, the end of its member, and the beginning of the next.
fn long_key() -> Vec<u8> {
    [br"\u017f".repeat(256), br#"":0,""#.to_vec()].concat()
}

/// Bodies of `POST /client`.
pub(crate) fn client_polls() -> Vec<(&'static str, Vec<u8>)> {
    let poll = |head: &str, repeated: &str, tail: &str| {
        let head = format!("1.0\n{{\"offer\":\"{head}");
        let tail = format!("{tail}\"}}");
        let count = (BYTES - head.len() - tail.len()) / repeated.len();
        (head + &repeated.repeat(count) + &tail).into_bytes()
    };
    let sdp = r#"{\"type\":\"offer\",\"sdp\":\""#;
    vec![
        ("an offer of letters", poll(sdp, "a", r#"\"}"#)),
        (
            "an offer of escapes in escapes",
            poll(sdp, r"\\u0041", r#"\"}"#),
        ),
        ("an offer of escapes", poll(sdp, r"\u0041", r#"\"}"#)),
        (
            "an offer of keys in escapes",
            poll(r"{", r#"\"\\u0074ype\":\"offer\","#, r#"\"sdp\":\"\"}"#),
        ),
        ("an offer of surrogates", poll(sdp, r"\ud800", r#"\"}"#)),
        ("an offer of nested lists", poll("", "[", "")),
    ]
}
