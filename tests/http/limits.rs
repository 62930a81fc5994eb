//! What one address may ask for, and how much all may bring.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::request::Builder;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use snowflake_broker::broker::limits::{self, Intermediary};
use snowflake_broker::geoip::GeoIp;
use snowflake_broker::http as front;
use snowflake_broker::listener::Peer;
use snowflake_broker::matching;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::front::Front;
use crate::messages::{client_poll, offer, proxy_answer, proxy_poll};
use crate::requests::Reply;
use crate::{elapsed, start};

const SLOW_DOWN: &str = "too many requests, slow down";
const ONE: &str = "5.1.0.1";
const OTHER: &str = "5.1.0.2";
const CACHES: &str = "5.1.0.0/24";
/// None of the caches.
const STRANGER: &str = "5.9.0.1";

fn network(written: &str) -> Intermediary {
    written.to_owned().try_into().unwrap()
}

/// Of each kind one request, and no other for a minute; nobody waits for long.
fn one_each(http: front::Settings) -> Front {
    let limits = limits::Settings {
        proxy_polls_per_minute: 1,
        proxy_poll_burst: 1,
        client_polls_per_minute: 1,
        client_poll_burst: 1,
        answers_per_minute: 1,
        answer_burst: 1,
        intermediary_factor: 3,
        intermediaries: vec![network(CACHES)],
        exempt: vec!["10.0.0.0/8".parse().unwrap()],
        ..limits::Settings::default()
    };
    let short = Duration::from_millis(10);
    let matching = matching::Settings {
        proxy_timeout: short,
        client_queue_wait: short,
        ..matching::Settings::default()
    };
    Front::limited(matching, http, GeoIp::default(), None, limits)
}

fn from(peer: &str, request: Builder) -> Builder {
    let peer: IpAddr = peer.parse().unwrap();
    request.extension(Peer(SocketAddr::from((peer, 1))))
}

async fn post(front: &Front, peer: &str, path: &str, body: String) -> Reply {
    let request = from(peer, Request::post(path));
    front.send(request.body(Body::from(body)).unwrap()).await
}

async fn proxy(front: &Front, peer: &str) -> Value {
    let reply = post(front, peer, "/proxy", proxy_poll("a", "open")).await;
    assert_eq!(reply.status, StatusCode::OK);
    reply.json()
}

async fn client(front: &Front, peer: &str) -> Value {
    let reply = post(front, peer, "/client", client_poll("x", "open")).await;
    assert_eq!(reply.status, StatusCode::OK);
    reply.json()["error"].clone()
}

/// The path of a client's poll at an AMP cache, with a candidate of its own or none.
fn amp_path(candidate: Option<&str>) -> String {
    let candidate = candidate.map(|address| format!("a=candidate:1 1 udp 1 {address} 1 typ srflx"));
    let offer = offer(&candidate.unwrap_or_default());
    let poll = format!("1.0\n{}", json!({"offer": offer, "nat": "open"}));
    format!("/amp/client/0/{}", URL_SAFE_NO_PAD.encode(poll))
}

/// The error that a client hears that comes by way of `peer`.
async fn amp(front: &Front, peer: &str, candidate: Option<&str>) -> Value {
    ask_amp(front, from(peer, Request::get(amp_path(candidate)))).await
}

async fn ask_amp(front: &Front, request: Builder) -> Value {
    let reply = front.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::OK);
    let (_, text) = reply.body.split_once("<pre>").unwrap();
    let text: String = text
        .split("</pre>")
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let response = STANDARD.decode(text.strip_prefix('0').unwrap()).unwrap();
    serde_json::from_slice::<Value>(&response).unwrap()["error"].clone()
}

fn refusals(front: &Front, request: &str, reason: &str) -> u64 {
    let labels = [
        &*format!(r#"request="{request}""#),
        &*format!(r#"reason="{reason}""#),
    ];
    front.count("snowflake_broker_refusals_total", &labels)
}

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
    // Who was turned away is not among the proxies that were here.
    assert_eq!(front.count("snowflake_proxy_total", &[]), 2);
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
    // Who is over its own limit has used nothing of the cache's.
    assert_ne!(amp(&front, ONE, Some("5.3.0.2")).await, SLOW_DOWN);
    assert_ne!(amp(&front, ONE, Some("5.3.0.3")).await, SLOW_DOWN);
    assert_eq!(amp(&front, ONE, None).await, SLOW_DOWN);
    assert_ne!(amp(&front, OTHER, None).await, SLOW_DOWN);
    // The client itself, and whoever has the cache's address, may still come.
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

/// Whether a proxy's poll is admitted that comes from this peer with this header.
async fn polled(front: &Front, peer: &str, header: &str) -> bool {
    let request = from(peer, Request::post("/proxy")).header("X-Forwarded-For", header);
    let request = request.body(Body::from(proxy_poll("a", "open")));
    let status = front.send(request.unwrap()).await.json()["Status"].clone();
    status == "no match"
}

fn trusting(trusted_proxies: &str) -> front::Settings {
    front::Settings {
        trusted_proxies: vec![trusted_proxies.parse().unwrap()],
        ..front::Settings::default()
    }
}

#[tokio::test(start_paused = true)]
async fn the_forwarded_address_is_limited_and_not_who_forwards() {
    for (front, proxy) in [
        (one_each(front::Settings::default()), "127.0.0.1"),
        (one_each(trusting("192.0.2.0/24")), "192.0.2.9"),
    ] {
        for client in ["2a01::1", "5.3.0.1"] {
            assert!(polled(&front, proxy, client).await);
            assert!(!polled(&front, proxy, client).await);
        }
        // Of the same /64.
        assert!(!polled(&front, proxy, "2a01::2").await);
        // Those whom it does not name are three as one.
        for expected in [true, true, true, false] {
            assert_eq!(polled(&front, proxy, "unknown").await, expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stranger_does_not_become_somebody_who_forwards_by_saying_so() {
    for settings in [
        front::Settings::default(),
        front::Settings {
            trusted_hops: 0,
            ..front::Settings::default()
        },
        front::Settings {
            forwarded_by: "none".to_owned().try_into().unwrap(),
            ..front::Settings::default()
        },
        trusting("192.0.2.0/24"),
    ] {
        for nobody in ["unknown", "10.0.0.1", "127.0.0.1", "::1", "192.168.0.1", ""] {
            let front = one_each(settings.clone());
            assert!(polled(&front, STRANGER, nobody).await);
            assert!(!polled(&front, STRANGER, nobody).await);
            assert_eq!(proxy(&front, STRANGER).await["Status"], "polled too soon");
        }
        if !settings.trusted_proxies.is_empty() || !settings.reads_headers() {
            let front = one_each(settings);
            assert!(polled(&front, STRANGER, "5.3.0.1").await);
            assert!(!polled(&front, STRANGER, "5.3.0.2").await);
        }
    }
}

/// No client waits, and every limit is at its default.
fn by_default(http: front::Settings) -> Front {
    let matching = matching::Settings {
        proxy_timeout: Duration::from_millis(1),
        client_queue_wait: Duration::ZERO,
        ..matching::Settings::default()
    };
    Front::limited(
        matching,
        http,
        GeoIp::default(),
        None,
        limits::Settings::default(),
    )
}

#[tokio::test(start_paused = true)]
async fn a_stranger_at_the_amp_endpoint_has_the_quota_of_one_client() {
    let front = by_default(front::Settings::default());
    let mut admitted = 0;
    for number in 0..2_000_u32 {
        // It writes another address into each offer.
        let [_, a, b, c] = number.to_be_bytes();
        let candidate = format!("5.{a}.{b}.{c}");
        let error = amp(&front, STRANGER, Some(&candidate)).await;
        admitted += u32::from(error != SLOW_DOWN);
    }
    assert_eq!(admitted, limits::Settings::default().client_poll_burst);
    // It is the same quota as at the other endpoint.
    assert_eq!(client(&front, STRANGER).await, SLOW_DOWN);
    // A cache of Google's has a hundred times as much.
    for _ in 0..2_000 {
        assert_ne!(amp(&front, "66.249.83.1", None).await, SLOW_DOWN);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_claims_many_addresses_has_ten_quotas() {
    let quota = limits::Settings::default().client_poll_burst;
    let claims = |request: Builder, number: u32| {
        let [_, a, b, c] = (number << 8).to_be_bytes();
        let request = from(STRANGER, request);
        request.header("X-Forwarded-For", format!("6.{a}.{b}.{c}"))
    };
    for is_amp in [false, true] {
        let front = by_default(front::Settings::default());
        let mut admitted = 0;
        for number in 0..4_000_u32 {
            let error = if is_amp {
                ask_amp(&front, claims(Request::get(amp_path(None)), number)).await
            } else {
                let request = claims(Request::post("/client"), number);
                let poll = Body::from(client_poll("x", "open"));
                front.send(request.body(poll).unwrap()).await.json()["error"].clone()
            };
            admitted += u32::from(error != SLOW_DOWN);
        }
        for _ in 0..2 * quota {
            admitted += u32::from(client(&front, STRANGER).await != SLOW_DOWN);
        }
        assert_eq!(admitted, 10 * quota, "{is_amp}");
    }
}

/// How many tokens of this kind an address has left.
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

/// So many of each kind at once, and one more in a minute.
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
        // A bucket with fewer owes the rest, and at most one request's: a body that
        // is too large is found so before anything else.
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
        // The first one has been handed to the proxy, the second one is queued.
        let leaving = ask(&front).await;
        leaving.abort();
        assert!(leaving.await.is_err());
    }
    // Who stays pays one.
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

/// Room for one client's poll and a bit.
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

    // So do those behind a cache, who are there as long.
    let cached = Request::get(&path).body(Body::empty()).unwrap();
    let waiting = Arc::clone(&front);
    let waiting = tokio::spawn(async move { waiting.send(cached).await });
    sleep(Duration::from_millis(1)).await;
    let reply = front.post("/client", poll.clone()).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    waiting.await.unwrap();

    // Each that ends, and each that leaves, gives back what it took.
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
