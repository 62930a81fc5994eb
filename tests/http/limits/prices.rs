//! Requests that cost more than one token, or are not read for lack of tokens.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use snowflake_broker::broker::limits;
use snowflake_broker::geoip::GeoIp;
use snowflake_broker::http as front;
use snowflake_broker::matching;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::start;
use crate::support::front::Front;
use crate::support::messages::{client_poll, proxy_answer, proxy_poll};
use crate::support::requests::Reply;

use super::{OTHER, SLOW_DOWN, STRANGER, from, post, refusals};

/// The number of tokens of this kind that an address has left.
async fn left(front: &Front, peer: &str, path: &str) -> usize {
    let mut left = 0;
    loop {
        let body = match path {
            "/proxy" => proxy_poll("a", "open"),
            "/answer" => proxy_answer("nobody", "hi"),
            _ => client_poll("x", "open"),
        };
        let reply = post(front, peer, path, body).await;
        let is_over = reply.status == StatusCode::TOO_MANY_REQUESTS
            || ["polled too soon", SLOW_DOWN].map(|text| reply.body.contains(text)) != [false; 2];
        if is_over {
            return left;
        }
        left += 1;
    }
}

/// A front with this burst for each kind, and one more per minute.
fn at_once(burst: u32) -> Front {
    let limits = limits::Settings {
        proxy_polls_per_minute: 1,
        proxy_poll_burst: burst,
        client_polls_per_minute: 1,
        client_poll_burst: burst,
        answers_per_minute: 1,
        answer_burst: burst,
        ..limits::Settings::default()
    };
    let matching = matching::Settings {
        proxy_timeout: Duration::from_millis(1),
        client_queue_wait: Duration::ZERO,
        ..matching::Settings::default()
    };
    Front::limited(
        matching,
        front::Settings::default(),
        GeoIp::default(),
        None,
        limits,
    )
    .outspoken()
}

#[tokio::test(start_paused = true)]
async fn a_malformed_request_costs_its_address_ten_tokens() {
    let too_large = "x".repeat(100_001);
    for (path, malformed) in [
        ("/client", "rubbish"),
        ("/client", "1.0\n{}"),
        ("/client", "{"),
        ("/client", &too_large),
        ("/proxy", "rubbish"),
        ("/proxy", &too_large),
        ("/answer", "rubbish"),
        ("/answer", &too_large),
    ] {
        let front = at_once(25);
        post(&front, STRANGER, path, malformed.to_owned()).await;
        assert_eq!(left(&front, STRANGER, path).await, 15, "{path}");
        assert_eq!(left(&front, OTHER, path).await, 25, "{path}");
        // A bucket with fewer tokens owes the rest, up to the price of one request. A
        // body that is too large is detected before anything else.
        let owed = if malformed == too_large { 10 } else { 5 };
        let front = at_once(15);
        for _ in 0..5 {
            post(&front, STRANGER, path, malformed.to_owned()).await;
        }
        assert_eq!(left(&front, STRANGER, path).await, 0, "{path}");
        sleep(Duration::from_mins(owed)).await;
        assert_eq!(left(&front, STRANGER, path).await, 0, "{path}");
        sleep(Duration::from_mins(1)).await;
        assert_eq!(left(&front, STRANGER, path).await, 1, "{path}");
    }
    let front = at_once(25);
    let request = from(STRANGER, Request::get("/amp/client/1")).body(Body::empty());
    front.send(request.unwrap()).await;
    assert_eq!(left(&front, STRANGER, "/client").await, 15);
}

#[tokio::test(start_paused = true)]
async fn a_request_over_the_limit_is_not_parsed() {
    let front = at_once(1);
    for (path, request, reason) in [
        ("/client", "client_poll", "limit"),
        ("/proxy", "proxy_poll", "too_soon"),
        ("/answer", "proxy_answer", "limit"),
    ] {
        left(&front, STRANGER, path).await;
        let before = refusals(&front, request, reason);
        for _ in 0..10 {
            let reply = post(&front, STRANGER, path, "rubbish".to_owned()).await;
            assert_ne!(reply.status, StatusCode::BAD_REQUEST, "{path}");
        }
        assert_eq!(refusals(&front, request, reason), before + 10);
        assert_eq!(refusals(&front, request, "bad_request"), 0);
    }
    let legacy = post(&front, STRANGER, "/client", "{".to_owned()).await;
    assert_eq!(legacy.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_its_reply_pays_five_tokens() {
    let matching = matching::Settings {
        client_queue_wait: Duration::from_secs(2),
        ..matching::Settings::default()
    };
    let limits = limits::Settings {
        client_polls_per_minute: 1,
        client_poll_burst: 13,
        ..limits::Settings::default()
    };
    let front = Front::limited(
        matching,
        front::Settings::default(),
        GeoIp::default(),
        None,
        limits,
    );
    let front = Arc::new(front);
    let _parked = start(&front, "/proxy", proxy_poll("a", "open")).await;
    for _ in 0..2 {
        // The first client has been handed to the proxy, the second one is queued.
        let leaving = ask(&front).await;
        leaving.abort();
        assert!(leaving.await.is_err());
    }
    // A client that stays pays one token.
    for _ in 0..3 {
        let reply = ask(&front).await.await.unwrap();
        assert!(!reply.body.contains(SLOW_DOWN));
    }
    assert!(ask(&front).await.await.unwrap().body.contains(SLOW_DOWN));
}

/// A client that waits for its reply.
async fn ask(front: &Arc<Front>) -> JoinHandle<Reply> {
    let front = Arc::clone(front);
    let poll = client_poll("x", "open");
    let asking = tokio::spawn(async move { post(&front, STRANGER, "/client", poll).await });
    sleep(Duration::from_millis(1)).await;
    asking
}
