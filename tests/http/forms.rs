//! The forms of messages, and the responses to malformed ones.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use snowflake_broker::bridges::BridgeList;
use snowflake_broker::broker::Directory;

use crate::support::messages::{answer, client_poll, offer, proxy_answer, proxy_poll};
use crate::support::requests::{Reply, send};
use crate::{elapsed, front, start};

fn has_cors(reply: &Reply) -> bool {
    reply.headers["access-control-allow-origin"] == "*"
        && reply.headers["access-control-allow-headers"] == "Origin, X-Session-ID"
}

#[tokio::test(start_paused = true)]
async fn offers_and_answers_pass_to_the_byte() {
    let front = front();
    let odd = " {\"type\":\"offer\",  \"sdp\":\"\\u00e4<&>\u{2028}\u{1f600}\\u0000\"}\n";
    let poll = start(&front, "/proxy", proxy_poll("a", "open")).await;
    let body = format!("1.0\n{}", json!({"offer": odd}));
    let client = start(&front, "/client", body).await;
    assert_eq!(poll.await.unwrap().json()["Offer"], odd);
    let odd = "{\"x\":\"a=candidate\",\"sdp\":\"\\n\",\"type\":\"answer\"} ";
    let body = json!({"Version": "1.0", "Sid": "a", "Answer": odd});
    front.post("/answer", body.to_string()).await;
    assert_eq!(client.await.unwrap().json()["answer"], odd);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_does_not_accept_our_relays_is_told_so() {
    let front = front();
    let poll = json!({"Sid": "a", "Version": "1.0", "AcceptedRelayPattern": "other.net$"});
    let (waited, reply) = elapsed(front.post("/proxy", poll.to_string())).await;
    assert_eq!(waited, Duration::ZERO);
    assert_eq!(
        reply.json(),
        json!({
            "Status": "incorrect relay pattern", "Offer": "", "NAT": "",
            "NextPoll": 600_000, "RelayURL": "",
        })
    );
    assert_eq!(
        front.count("snowflake_broker_refusals_total", &[r#"reason="pattern""#]),
        1
    );
}

/// A proxy that sends no pattern connects to Tor's bridge, whatever it is told.
#[tokio::test(start_paused = true)]
async fn a_proxy_without_a_pattern_serves_tors_bridge_only() {
    let front = front();
    let status = async || {
        let poll = json!({"Sid": "a", "Version": "1.0"});
        front.post("/proxy", poll.to_string()).await.json()["Status"].clone()
    };
    let change = |change: &dyn Fn(&mut Directory)| {
        front.broker.control().update_directory(|it| change(it));
    };
    assert_eq!(
        status().await,
        "no match",
        "the pattern assumed for it is empty"
    );
    change(&|directory| directory.default_relay_pattern = None);
    assert_eq!(status().await, "incorrect relay pattern");
    change(&|directory| directory.bridges = BridgeList::default());
    assert_eq!(status().await, "no match");
    change(&|directory| directory.default_relay_pattern = Some("^other.example$".into()));
    assert_eq!(status().await, "incorrect relay pattern");
}

#[tokio::test(start_paused = true)]
async fn legacy_clients_are_answered_with_status_codes() {
    let front = front();
    let legacy = |nat: &'static str| {
        Request::post("/client")
            .header("Snowflake-NAT-Type", nat)
            .body(Body::from(offer("old")))
            .unwrap()
    };
    let denied = front.send(legacy("strict")).await;
    assert_eq!((denied.status.as_u16(), &*denied.body), (503, ""));

    let poll = start(&front, "/proxy", proxy_poll("a", "open")).await;
    let timed_out = front.send(legacy("restricted")).await;
    assert_eq!((timed_out.status.as_u16(), &*timed_out.body), (504, ""));
    assert_eq!(poll.await.unwrap().json()["NAT"], "restricted");

    let _poll = start(&front, "/proxy", proxy_poll("b", "open")).await;
    let client = start(&front, "/client", offer("old")).await;
    front.post("/answer", proxy_answer("b", "hi")).await;
    let answered = client.await.unwrap();
    assert_eq!(
        (answered.status.as_u16(), answered.body),
        (200, answer("hi"))
    );

    assert_eq!(front.send(legacy("odd")).await.status.as_u16(), 400);
    for wrong in ["{", "{}", r#"{"type":"offer"}"#] {
        let reply = front.post("/client", wrong).await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (400, ""), "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn amp_clients_are_answered_in_a_page() {
    let front = front();
    let poll = start(&front, "/proxy", proxy_poll("a", "open")).await;
    let path = format!(
        "/amp/client/0cachebreaker/{}",
        URL_SAFE_NO_PAD.encode(client_poll("x", "open"))
    );
    let client = tokio::spawn({
        let front = Arc::clone(&front);
        async move { front.get(&path).await }
    });
    assert_eq!(poll.await.unwrap().json()["Offer"], offer("x"));
    front.post("/answer", proxy_answer("a", "hi")).await;
    let page = client.await.unwrap();
    assert_eq!(page.headers["content-type"], "text/html");
    assert_eq!(page.headers["cache-control"], "max-age=15");
    assert_eq!(armored(&page), json!({"answer": answer("hi")}));

    for path in ["/amp/client/", "/amp/client/1/MS4w", "/amp/client/0%ff"] {
        let page = front.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert_eq!(
            armored(&page),
            json!({"error": "cannot decode URL path"}),
            "{path}"
        );
    }
}

fn armored(page: &Reply) -> Value {
    let (_, text) = page.body.split_once("<pre>").unwrap();
    let (text, _) = text.split_once("</pre>").unwrap();
    let text: String = text.split_whitespace().collect();
    let json = STANDARD.decode(text.strip_prefix('0').unwrap()).unwrap();
    serde_json::from_slice(&json).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_clients_poll_is_said_in_its_order() {
    let front = front();
    let unknown_bridge = "f".repeat(40);
    for (body, error) in [
        (String::new(), "unsupported message version"),
        ("1.0".to_owned(), "unsupported message version"),
        ("1.0\r\n{}".to_owned(), "unsupported message version"),
        ("1.1\n{}".to_owned(), "unsupported message version"),
        (
            "1.0\n{\"nat\":\"x\",\"fingerprint\":\"x\"}".to_owned(),
            "no supplied offer",
        ),
        ("1.0\nnull".to_owned(), "no supplied offer"),
        (
            "1.0\n{\"offer\":\"x\",\"fingerprint\":\"x\"}".to_owned(),
            "malformed session description: not a JSON object",
        ),
        (
            format!(
                "1.0\n{}",
                json!({"offer": offer("x"), "fingerprint": "x", "nat": "x"})
            ),
            "cannot decode fingerprint",
        ),
        (
            format!(
                "1.0\n{}",
                json!({"offer": offer("x"), "fingerprint": unknown_bridge, "nat": "x"})
            ),
            "invalid NAT type",
        ),
        (
            format!(
                "1.0\n{}",
                json!({"offer": offer("x"), "fingerprint": unknown_bridge})
            ),
            "bridge with requested fingerprint is unknown to the broker",
        ),
    ] {
        let reply = front.post("/client", body.clone()).await;
        assert_eq!(reply.status, StatusCode::OK, "{body}");
        assert_eq!(reply.json(), json!({"error": error}), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn bad_polls_and_answers_get_400_with_nothing_in_it() {
    let front = front();
    for (path, body) in [
        ("/proxy", ""),
        ("/proxy", "{}"),
        ("/proxy", r#"{"Sid":"a","Version":"2.0"}"#),
        ("/proxy", r#"{"Sid":"","Version":"1.0"}"#),
        ("/proxy", r#"{"Sid":"a","Version":"1.0","NAT":"odd"}"#),
        ("/proxy", r#"{"Sid":"a","Version":"1.0","Clients":1.5}"#),
        ("/proxy", r#"{"Sid":"a","Version":"1.0"} x"#),
        ("/answer", ""),
        ("/answer", r#"{"Version":"1.0","Sid":"a","Answer":"{}"}"#),
        (
            "/answer",
            r#"{"Version":"1.0","Sid":"a","Answer":"a=candidate"}"#,
        ),
        (
            "/answer",
            r#"{"Version":"1.0","Sid":"","Answer":"a=candidate"}"#,
        ),
    ] {
        let reply = front.post(path, body).await;
        assert_eq!(
            (reply.status.as_u16(), &*reply.body),
            (400, ""),
            "{path} {body}"
        );
        assert!(has_cors(&reply), "{path} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_answer_for_browsers_carries_cors_headers() {
    let front = front();
    for path in [
        "/client",
        "/proxy",
        "/answer",
        "/debug",
        "/metrics",
        "/amp/client/x",
    ] {
        assert!(has_cors(&front.get(path).await), "{path}");
        let preflight = Request::options(path).body(Body::empty()).unwrap();
        let reply = front.send(preflight).await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (200, ""), "{path}");
        assert!(has_cors(&reply), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_read_up_to_its_limit() {
    let front = front();
    for path in ["/client", "/proxy", "/answer"] {
        let reply = front.post(path, "x".repeat(100_001)).await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (400, ""), "{path}");
        assert!(has_cors(&reply), "{path}");
    }
    let largest = front.post("/client", "x".repeat(100_000)).await;
    assert_eq!(
        largest.json(),
        json!({"error": "unsupported message version"})
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up() {
    let front = front();
    let stalled = Body::new(Never);
    let (waited, reply) = elapsed(front.post("/proxy", stalled)).await;
    assert_eq!((waited.as_secs(), reply.status.as_u16()), (10, 400));
}

#[tokio::test(start_paused = true)]
async fn paths_that_are_not_ours_are_not_found() {
    let front = front();
    for path in [
        "/",
        "/client/",
        "/proxy/",
        "/Client",
        "/amp",
        "/amp/client",
        "/metrics",
    ] {
        let reply = front.get(path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(reply.body, "404 page not found\n", "{path}");
    }
    assert_eq!(
        front.get("/robots.txt").await.body,
        "User-agent: *\nDisallow: /\n"
    );
    assert_eq!(front.get("/prometheus").await.status, StatusCode::OK);
}

/// RFC 3986, section 6.2.2.2.
#[tokio::test(start_paused = true)]
async fn a_path_is_the_same_with_unreserved_characters_escaped() {
    let front = front();
    let poll = start(&front, "/%70roxy", proxy_poll("a", "open")).await;
    let client = start(&front, "/clien%74", client_poll("x", "open")).await;
    assert_eq!(poll.await.unwrap().json()["Status"], "client match");
    let answered = front.post("/%61%6E%73%77%65%72", proxy_answer("a", "hi"));
    assert_eq!(answered.await.json()["Status"], "success");
    let client = client.await.unwrap();
    assert_eq!(client.json()["answer"], answer("hi"));
    assert!(has_cors(&client));
    for (path, same) in [
        ("/%64%65bug", "/debug"),
        ("/prometheu%73", "/prometheus"),
        ("/robots%2Etxt", "/robots.txt"),
        ("/%61mp/%63lient/0%78/%78", "/amp/client/0x/x"),
    ] {
        assert_eq!(front.get(path).await.body, front.get(same).await.body);
    }
    let operators = front.endpoints.for_operators();
    let ready = Request::get("/%72eadyz").body(Body::empty()).unwrap();
    assert_eq!(send(&operators, ready).await.body, "ok\n");
    for path in [
        "/%2Fclient",
        "/client%2F",
        "/client%20",
        "/%43lient",
        "/%25client",
    ] {
        let reply = front.get(path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
    }
}

/// RFC 9110, section 9.3.7: the request concerns the server, not a path.
#[tokio::test(start_paused = true)]
async fn options_of_the_server_as_a_whole() {
    let front = front();
    let options = || Request::options("*").body(Body::empty()).unwrap();
    for endpoints in [front.endpoints.clone(), front.endpoints.for_operators()] {
        let reply = send(&endpoints, options()).await;
        assert_eq!((reply.status.as_u16(), &*reply.body), (200, ""));
    }
    for (method, path) in [("GET", "*"), ("OPTIONS", "/"), ("OPTIONS", "/nowhere")] {
        let request = Request::builder().method(method).uri(path);
        let reply = front.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{method} {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn debug_shows_what_is_waiting() {
    let front = front();
    let _poll = start(&front, "/proxy", proxy_poll("a", "moderate")).await;
    let text = front.get("/debug").await.body;
    assert!(text.starts_with("current snowflakes available: 1\n\tstandalone proxies: 1\n"));
    assert!(text.contains("\tmoderate: 1\n"), "{text}");
}

/// A body that never arrives.
struct Never;

impl http_body::Body for Never {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}
