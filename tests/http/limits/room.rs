//! Memory shared by all requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use snowflake_broker::geoip::GeoIp;
use snowflake_broker::http as front;
use snowflake_broker::matching;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::front::Front;
use crate::support::messages::{client_poll, proxy_answer, proxy_poll};
use crate::support::requests::Reply;
use crate::{elapsed, start};

use super::refusals;

/// A front with memory for this many bytes.
fn with_room(bytes: usize) -> Arc<Front> {
    let http = front::Settings {
        max_bytes_in_flight: bytes,
        ..front::Settings::default()
    };
    let matching = matching::Settings::default();
    Arc::new(Front::with(matching, http, GeoIp::default()))
}

#[tokio::test(start_paused = true)]
async fn clients_that_wait_share_the_room_for_bodies() {
    let poll = client_poll(&"x".repeat(1_000), "open");
    let front = with_room(poll.len() * 3 / 2);
    let first = start(&front, "/client", poll.clone()).await;
    let reply = front.post("/client", poll.clone()).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refusals(&front, "client_poll", "overloaded"), 1);
    let path = format!("/amp/client/0/{}", URL_SAFE_NO_PAD.encode(&poll));
    assert_eq!(front.get(&path).await.status, StatusCode::OK);
    assert_eq!(refusals(&front, "client_poll", "overloaded"), 2);
    let long = "x".repeat(600);
    for (path, body, request) in [
        ("/proxy", proxy_poll(&long, "open"), "proxy_poll"),
        ("/answer", proxy_answer(&long, "hi"), "proxy_answer"),
    ] {
        let reply = front.post(path, body).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refusals(&front, request, "overloaded"), 1);
    }
    assert_eq!(first.await.unwrap().status, StatusCode::OK);

    // So do clients behind a cache, which wait as long.
    let cached = Request::get(&path).body(Body::empty()).unwrap();
    let waiting = Arc::clone(&front);
    let waiting = tokio::spawn(async move { waiting.send(cached).await });
    sleep(Duration::from_millis(1)).await;
    let reply = front.post("/client", poll.clone()).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    waiting.await.unwrap();

    // Each request that ends or is abandoned releases its memory.
    for _ in 0..3 {
        let leaving = start(&front, "/client", poll.clone()).await;
        leaving.abort();
        assert!(leaving.await.is_err());
    }
    assert_eq!(front.post("/client", poll).await.status, StatusCode::OK);
    assert_eq!(refusals(&front, "client_poll", "overloaded"), 3);
}

#[tokio::test(start_paused = true)]
async fn heads_take_room_as_well() {
    let front = with_room(1_000);
    for (bytes, status) in [
        (500, StatusCode::OK),
        (1_000, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let request = Request::post("/answer").header("Cookie", "x".repeat(bytes));
        let answer = Body::from(proxy_answer("nobody", "hi"));
        let reply = front.send(request.body(answer).unwrap()).await;
        assert_eq!(reply.status, status, "{bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn parked_polls_take_no_room() {
    let poll = |number: usize| {
        let mut poll: Value =
            serde_json::from_str(&proxy_poll(&number.to_string(), "open")).unwrap();
        poll["AcceptedRelayPattern"] = json!("example$");
        poll.to_string()
    };
    let front = with_room(2 * poll(99).len());
    let mut parked: Vec<JoinHandle<Reply>> = Vec::new();
    for number in 0..20 {
        parked.push(start(&front, "/proxy", poll(number)).await);
    }
    for poll in parked {
        assert_eq!(poll.await.unwrap().json()["Status"], "no match");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_too_slowly_is_counted_as_that() {
    let front = with_room(1_000_000);
    for (path, request) in [
        ("/client", "client_poll"),
        ("/proxy", "proxy_poll"),
        ("/answer", "proxy_answer"),
    ] {
        let begun = futures_util::stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"1.0"))]);
        let stalled = futures_util::StreamExt::chain(begun, futures_util::stream::pending());
        let (waited, reply) = elapsed(front.post(path, Body::from_stream(stalled))).await;
        assert_eq!(waited, Duration::from_secs(10), "{path}");
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(refusals(&front, request, "too_slow"), 1);
        assert_eq!(refusals(&front, request, "bad_request"), 0);
    }
}
