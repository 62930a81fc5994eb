//! Quotas of one address, and the responses when it is over them.

use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::json;
use snowflake_broker::broker::{RefusalsAs, clock};
use snowflake_broker::http as front;
use tokio::time::sleep;

use crate::support::messages::{offer, proxy_answer};

use super::{ONE, OTHER, SLOW_DOWN, amp, amp_path, client, one_each, post, proxy, refusals};

#[tokio::test(start_paused = true)]
async fn a_proxy_over_its_limit_has_polled_too_soon() {
    let front = one_each(front::Settings::default());
    assert_eq!(proxy(&front, ONE).await["Status"], "no match");
    assert_eq!(
        proxy(&front, ONE).await,
        json!({
            "Status": "polled too soon", "Offer": "", "NAT": "", "NextPoll": 120_000, "RelayURL": "",
        })
    );
    assert_eq!(proxy(&front, OTHER).await["Status"], "no match");
    assert_eq!(refusals(&front, "proxy_poll", "too_soon"), 1);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(proxy(&front, ONE).await["Status"], "no match");
    // A proxy that was turned away is not counted among the unique addresses.
    assert_eq!(front.count("snowflake_proxy_total", &[]), 2);
}

/// Released proxies heed the interval in no other status.
#[tokio::test(start_paused = true)]
async fn unless_it_is_to_hear_why_it_hears_no_match_at_once() {
    let front = one_each(front::Settings::default());
    front.broker.control().update_directory(|directory| {
        directory.poll_interval.refusals_as = RefusalsAs::default();
    });
    proxy(&front, ONE).await;
    let before = clock::now();
    assert_eq!(
        proxy(&front, ONE).await,
        json!({
            "Status": "no match", "Offer": "", "NAT": "", "NextPoll": 120_000, "RelayURL": "",
        })
    );
    assert_eq!(clock::now(), before);
    assert_eq!(refusals(&front, "proxy_poll", "too_soon"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_over_its_limit_is_told_to_slow_down_in_its_form() {
    let front = one_each(front::Settings::default());
    assert_ne!(client(&front, ONE).await, SLOW_DOWN);
    assert_eq!(client(&front, ONE).await, SLOW_DOWN);
    assert_ne!(client(&front, OTHER).await, SLOW_DOWN);
    let legacy = post(&front, ONE, "/client", offer("x")).await;
    assert_eq!(legacy.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(legacy.body.is_empty());
    assert_eq!(refusals(&front, "client_poll", "limit"), 2);
    let refused = [r#"outcome="refused""#];
    let polls = front.count("snowflake_broker_client_polls_total", &refused);
    assert_eq!(polls, 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_over_its_limit_gets_429_and_leaves_the_match_as_it_was() {
    let front = one_each(front::Settings::default());
    let answer = || proxy_answer("a", "hi");
    let first = post(&front, ONE, "/answer", answer()).await;
    assert_eq!(first.body, r#"{"Status":"client gone"}"#);
    let second = post(&front, ONE, "/answer", answer()).await;
    assert_eq!(second.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(second.headers["access-control-allow-origin"], "*");
    let other = post(&front, OTHER, "/answer", answer()).await;
    assert_eq!(other.status, StatusCode::OK);
    assert_eq!(refusals(&front, "proxy_answer", "limit"), 1);
    let refused = [r#"outcome="refused""#];
    let answers = front.count("snowflake_broker_proxy_answers_total", &refused);
    assert_eq!(answers, 1);
    let replies = [r#"endpoint="answer""#, r#"code="429""#];
    assert_eq!(
        front.count("snowflake_broker_http_responses_total", &replies),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn clients_of_a_cache_are_limited_one_by_one_and_all_together() {
    let front = one_each(front::Settings::default());
    assert_ne!(amp(&front, ONE, Some("5.3.0.1")).await, SLOW_DOWN);
    assert_eq!(amp(&front, ONE, Some("5.3.0.1")).await, SLOW_DOWN);
    // A client over its own limit has used nothing of the cache's quota.
    assert_ne!(amp(&front, ONE, Some("5.3.0.2")).await, SLOW_DOWN);
    assert_ne!(amp(&front, ONE, Some("5.3.0.3")).await, SLOW_DOWN);
    assert_eq!(amp(&front, ONE, None).await, SLOW_DOWN);
    assert_ne!(amp(&front, OTHER, None).await, SLOW_DOWN);
    // The client itself, and a client at the cache's address, are still admitted.
    assert_ne!(client(&front, "5.3.0.1").await, SLOW_DOWN);
    assert_ne!(client(&front, ONE).await, SLOW_DOWN);
    assert_eq!(refusals(&front, "client_poll", "limit"), 2);
}

#[tokio::test(start_paused = true)]
async fn this_machine_and_exempt_networks_have_no_limit() {
    let front = one_each(front::Settings::default());
    for peer in ["127.0.0.1", "::1", "10.9.8.7"] {
        for _ in 0..5 {
            assert_eq!(proxy(&front, peer).await["Status"], "no match");
            assert_ne!(client(&front, peer).await, SLOW_DOWN);
            assert_ne!(amp(&front, peer, Some("5.3.0.1")).await, SLOW_DOWN);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_amp_its_path_is_as_any_unknown_one() {
    let front = one_each(front::Settings {
        amp: false,
        ..front::Settings::default()
    });
    let path = amp_path(None);
    let unknown = front.get("/unknown").await;
    for method in ["GET", "OPTIONS"] {
        let request = Request::builder().method(method).uri(&path);
        let reply = front.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        assert_eq!(reply.body, unknown.body);
    }
    assert_eq!(refusals(&front, "client_poll", "bad_request"), 0);
}
