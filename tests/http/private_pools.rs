//! Private pools: who meets whom, and what others see of them.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use snowflake_broker::bridges::BridgeList;
use snowflake_broker::broker::private_pools::PoolPlan;
use snowflake_broker::broker::private_pools::settings::{PoolSettings, ToPublic};
use snowflake_broker::broker::private_pools::token::PoolToken;
use snowflake_broker::matching::Settings;
use tokio::time::sleep;

use crate::support::front::{Front, SECOND_BRIDGE};
use crate::support::messages::{client_poll, offer, proxy_answer, proxy_poll};
use crate::support::private_pools::pool;
use crate::{elapsed, front, start};

const NO_PROXIES: &str = r#"{"error":"no snowflake proxies currently available"}"#;
const NOT_FOUND: &str = "404 page not found\n";
const SUCCESS: &str = r#"{"Status":"success"}"#;

fn family() -> PoolPlan {
    pool("a", |_| {})
}

async fn with(plans: Vec<PoolPlan>) -> Arc<Front> {
    let front = front();
    set(&front, plans).await;
    front
}

async fn set(front: &Front, plans: Vec<PoolPlan>) {
    front.broker.private_pools().unwrap().set(plans);
    sleep(Duration::from_millis(1)).await;
}

const CLIENT: &str = "/p/aaaaaaaaaaaaaaaa/client";
const PROXY: &str = "/p/aaaaaaaaaaaaaaaa/proxy";
const ANSWER: &str = "/p/aaaaaaaaaaaaaaaa/answer";

#[tokio::test(start_paused = true)]
async fn client_and_proxy_of_a_pool_are_introduced() {
    let front = with(vec![family()]).await;
    let poll = start(&front, PROXY, proxy_poll("a", "unrestricted")).await;
    let client = start(&front, CLIENT, client_poll("hello", "restricted")).await;
    let poll = poll.await.unwrap();
    assert_eq!(poll.json()["Offer"], offer("hello"));
    assert_eq!(poll.json()["RelayURL"], "wss://one.example/");
    assert_eq!(poll.headers["access-control-allow-origin"], "*");
    let answered = front.post(ANSWER, proxy_answer("a", "hi")).await;
    assert_eq!(answered.body, SUCCESS);
    assert!(client.await.unwrap().json()["answer"].is_string());
    let matched = ["private_pool=\"a\"", "outcome=\"matched\""];
    for family in ["proxy_polls", "client_polls"] {
        let family = format!("snowflake_broker_private_pool_{family}_total");
        assert_eq!(front.count(&family, &matched), 1, "{family}");
    }
    assert_eq!(front.count("snowflake_broker_client_polls_total", &[]), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_meets_somebody_of_another_pool() {
    let front = with(vec![family(), pool("b", |_| {})]).await;
    let of_all = start(&front, "/proxy", proxy_poll("a", "open")).await;
    let of_b = start(&front, "/p/bbbbbbbbbbbbbbbb/proxy", proxy_poll("a", "open")).await;
    let client = front.post(CLIENT, client_poll("x", "open")).await;
    assert_eq!(client.body, NO_PROXIES);
    let parked = front.count("snowflake_broker_private_pool_parked_polls", &[]);
    assert_eq!(
        (parked, front.broker.control().parked_polls().len()),
        (1, 1)
    );
    for poll in [of_all, of_b] {
        assert_eq!(poll.await.unwrap().json()["Status"], "no match");
    }
    let of_a = start(&front, PROXY, proxy_poll("a", "open")).await;
    let client = front.post("/client", client_poll("x", "open")).await;
    assert_eq!(client.body, NO_PROXIES);
    assert_eq!(of_a.await.unwrap().json()["Status"], "no match");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_token_is_a_path_like_any_other() {
    let front = with(vec![family()]).await;
    let other = front.post("/q/bbbbbbbbbbbbbbbb/client", "x").await;
    assert_eq!(
        (other.status, &*other.body),
        (StatusCode::NOT_FOUND, NOT_FOUND)
    );
    for path in [
        "/p/bbbbbbbbbbbbbbbb/client",
        "/p/bbbbbbbbbbbbbbbb/proxy",
        "/p/bbbbbbbbbbbbbbbb/amp/client/",
        "/p/aaaaaaaaaaaaaaaA/client",
        "/p/aaaaaaaaaaaaaaaa",
        "/p/aaaaaaaaaaaaaaaa/",
        "/p/aaaaaaaaaaaaaaaa/debug",
        "/p/aaaaaaaaaaaaaaaa/metrics",
        "/p/aaaaaaaaaaaaaaaa/prometheus",
        "/p/aaaaaaaaaaaaaaaa/p/aaaaaaaaaaaaaaaa/client",
        "/p//client",
        "/p/",
    ] {
        for method in [Method::POST, Method::OPTIONS] {
            let request = Request::builder().method(&method).uri(path);
            let reply = front.send(request.body("x".into()).unwrap()).await;
            assert_eq!(reply.status, other.status, "{method} {path}");
            assert_eq!(reply.headers, other.headers, "{method} {path}");
            assert_eq!(reply.body, other.body, "{method} {path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn needless_escapes_and_queries_make_no_difference() {
    let front = with(vec![family()]).await;
    for path in [
        "/p/%61aaaaaaaaaaaaaaa/client?x",
        "/%70/aaaaaaaaaaaaaaaa/%63lient",
    ] {
        let client = front.post(path, client_poll("x", "open")).await;
        assert_eq!(client.body, NO_PROXIES, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_url_without_its_slash_is_counted() {
    let front = with(vec![family()]).await;
    for path in ["/p/client", "/p/proxy", "/p/answer"] {
        let reply = front.post(path, "x").await;
        assert_eq!(
            (reply.status, &*reply.body),
            (StatusCode::NOT_FOUND, NOT_FOUND)
        );
    }
    let family = "snowflake_broker_private_pool_incomplete_urls_total";
    assert_eq!(front.count(family, &[]), 3);
}

#[tokio::test(start_paused = true)]
async fn a_pool_is_reached_through_amp_caches_too() {
    let front = with(vec![family()]).await;
    let reply = front.get("/p/aaaaaaaaaaaaaaaa/amp/client/0").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.body.starts_with("<!doctype html>"), "{}", reply.body);
}

#[tokio::test(start_paused = true)]
async fn both_tokens_are_valid_while_one_replaces_the_other() {
    let tokens = |text: &str| PoolPlan {
        tokens: PoolToken::parse_file(text).unwrap(),
        ..family()
    };
    let (old, new) = ("a".repeat(16), "c".repeat(16));
    let front = with(vec![tokens(&old)]).await;
    // The pool goes on.
    let poll = start(&front, PROXY, proxy_poll("a", "open")).await;
    set(&front, vec![tokens(&format!("{old}\n{new}"))]).await;
    let with_new = "/p/cccccccccccccccc/client";
    let client = start(&front, with_new, client_poll("x", "open")).await;
    assert_eq!(poll.await.unwrap().json()["Offer"], offer("x"));
    assert_eq!(
        front.post(ANSWER, proxy_answer("a", "hi")).await.body,
        SUCCESS
    );
    assert!(client.await.unwrap().json()["answer"].is_string());
    set(&front, vec![tokens(&new)]).await;
    let replies = [
        front.post(CLIENT, client_poll("x", "open")).await.status,
        front.post(with_new, client_poll("x", "open")).await.status,
    ];
    assert_eq!(replies, [StatusCode::NOT_FOUND, StatusCode::OK]);
}

#[tokio::test(start_paused = true)]
async fn clients_overflow_where_they_may() {
    for (overflow, is_served) in [(ToPublic::None, false), (ToPublic::ToPublic, true)] {
        let front = with(vec![pool("a", |pool| pool.overflow = overflow)]).await;
        let poll = start(&front, "/proxy", proxy_poll("a", "open")).await;
        let client = start(&front, CLIENT, client_poll("x", "open")).await;
        if is_served {
            assert_eq!(poll.await.unwrap().json()["Offer"], offer("x"));
            let answered = front.post("/answer", proxy_answer("a", "hi")).await;
            assert_eq!(answered.body, SUCCESS);
            assert!(client.await.unwrap().json()["answer"].is_string());
        } else {
            assert_eq!(client.await.unwrap().body, NO_PROXIES);
        }
    }
}

/// Also one that comes while the client waits.
#[tokio::test(start_paused = true)]
async fn clients_overflow_as_soon_as_there_is_a_proxy() {
    let front = with(vec![pool("a", |pool| pool.overflow = ToPublic::ToPublic)]).await;
    let _client = start(&front, CLIENT, client_poll("x", "open")).await;
    sleep(Duration::from_millis(500)).await;
    let (time, poll) = elapsed(front.post("/proxy", proxy_poll("a", "open"))).await;
    assert_eq!(poll.json()["Offer"], offer("x"));
    assert!(time < Duration::from_millis(10), "{time:?}");
}

/// The pool's own proxies come first.
#[tokio::test(start_paused = true)]
async fn clients_overflow_only_if_no_proxy_of_the_pool_is_idle() {
    let front = with(vec![pool("a", |pool| pool.overflow = ToPublic::ToPublic)]).await;
    let public = start(&front, "/proxy", proxy_poll("a", "open")).await;
    let own = start(&front, PROXY, proxy_poll("b", "open")).await;
    let _client = start(&front, CLIENT, client_poll("x", "open")).await;
    assert_eq!(own.await.unwrap().json()["Offer"], offer("x"));
    assert!(!public.is_finished());
}

#[tokio::test(start_paused = true)]
async fn idle_proxies_beyond_the_reserve_serve_everybody_where_they_may() {
    for (spare, reserve, is_served) in [
        (ToPublic::None, 0, false),
        (ToPublic::ToPublic, 1, false),
        (ToPublic::ToPublic, 0, true),
    ] {
        let front = with(vec![pool("a", |pool| {
            pool.spare = spare;
            pool.reserve = reserve;
        })])
        .await;
        let client = start(&front, "/client", client_poll("x", "open")).await;
        let poll = start(&front, PROXY, proxy_poll("a", "open")).await;
        if is_served {
            assert_eq!(poll.await.unwrap().json()["Offer"], offer("x"));
            assert_eq!(
                front.post(ANSWER, proxy_answer("a", "hi")).await.body,
                SUCCESS
            );
            assert!(client.await.unwrap().json()["answer"].is_string());
        } else {
            assert_eq!(client.await.unwrap().body, NO_PROXIES);
        }
    }
}

/// Each of two pools lets both directions, and no offer comes back.
#[tokio::test(start_paused = true)]
async fn an_offer_crosses_one_border_at_most() {
    let open = |pool: &mut PoolSettings| {
        (pool.overflow, pool.spare, pool.reserve) = (ToPublic::ToPublic, ToPublic::ToPublic, 0);
    };
    let front = with(vec![pool("a", open), pool("b", open)]).await;
    let of_b = start(&front, "/p/bbbbbbbbbbbbbbbb/proxy", proxy_poll("a", "open")).await;
    let (time, client) = elapsed(front.post(CLIENT, client_poll("x", "open"))).await;
    assert_eq!(client.body, NO_PROXIES);
    assert_eq!(time, Settings::default().client_queue_wait);
    assert_eq!(of_b.await.unwrap().json()["Status"], "no match");
}

#[tokio::test(start_paused = true)]
async fn a_pool_may_have_bridges_of_its_own() {
    let line = json!({
        "webSocketAddress": "wss://own.example/", "fingerprint": SECOND_BRIDGE,
    });
    let own = PoolPlan {
        bridges: Some(BridgeList::parse(&format!("{line}\n")).unwrap()),
        ..pool("a", |pool| {
            pool.allowed_relay_pattern = Some("^own.example$".to_owned());
        })
    };
    let front = with(vec![own]).await;
    let poll = |pattern: &str| {
        let mut poll: Value = serde_json::from_str(&proxy_poll("a", "open")).unwrap();
        poll["AcceptedRelayPattern"] = pattern.into();
        poll.to_string()
    };
    let refused = front.post(PROXY, poll("one.example$")).await.json();
    assert_eq!(refused["Status"], "incorrect relay pattern");
    let polled = start(&front, PROXY, poll("^own.example$")).await;
    let unknown = front.post(CLIENT, client_poll("x", "open")).await.json();
    assert!(
        unknown["error"].as_str().unwrap().contains("bridge"),
        "{unknown}"
    );
    let body = json!({"offer": offer("x"), "fingerprint": SECOND_BRIDGE});
    let _client = start(&front, CLIENT, format!("1.0\n{body}")).await;
    assert_eq!(
        polled.await.unwrap().json()["RelayURL"],
        "wss://own.example/"
    );
}

#[tokio::test(start_paused = true)]
async fn changes_of_the_public_bridges_reach_the_pools_that_have_none() {
    let front = with(vec![family()]).await;
    front.broker.control().update_directory(|directory| {
        let line = r#"{"webSocketAddress":"wss://new.example/","fingerprint":"2B280B23E1107BB62ABFC40DDCC8824814F80A72"}"#;
        directory.bridges = BridgeList::parse(line).unwrap();
    });
    let poll = start(&front, PROXY, proxy_poll("a", "open")).await;
    let _client = start(&front, CLIENT, client_poll("x", "open")).await;
    assert_eq!(poll.await.unwrap().json()["RelayURL"], "wss://new.example/");
}

#[tokio::test(start_paused = true)]
async fn a_pool_has_so_many_clients_and_polls_and_no_more() {
    let front = with(vec![pool("a", |pool| {
        pool.clients_per_minute = 2.try_into().unwrap();
        pool.max_parked_polls = 1;
    })])
    .await;
    let parked = start(&front, PROXY, proxy_poll("a", "restricted")).await;
    let (time, refused) = elapsed(front.post(PROXY, proxy_poll("b", "restricted"))).await;
    assert_eq!(
        (time, &refused.json()["Status"]),
        (Duration::ZERO, &"no match".into())
    );
    assert!(!parked.is_finished());
    let mut replies = Vec::new();
    for _ in 0..3 {
        let reply = front.post(CLIENT, client_poll("x", "restricted")).await;
        replies.push(reply.json()["error"].as_str().unwrap().to_owned());
    }
    assert_eq!(replies[2], "too many requests, slow down");
    assert_ne!(replies[1], replies[2]);
    sleep(Duration::from_secs(30)).await;
    let later = front.post(CLIENT, client_poll("x", "restricted")).await;
    assert_eq!(later.body, NO_PROXIES);
    // The public has its own.
    let public = front.post("/client", client_poll("x", "restricted")).await;
    assert_eq!(public.body, NO_PROXIES);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_has_ended_is_unknown() {
    let until = |end: &str| pool("a", |pool| pool.expires = Some(end.to_owned()));
    for (end, status) in [
        ("2026-01-01T00:00:00Z", StatusCode::NOT_FOUND),
        ("2999-01-01T00:00:00Z", StatusCode::OK),
    ] {
        let front = with(vec![until(end)]).await;
        let reply = front.post(CLIENT, client_poll("x", "open")).await;
        assert_eq!(reply.status, status, "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revoked_pool_lets_all_go() {
    let front = with(vec![family()]).await;
    let poll = start(&front, PROXY, proxy_poll("a", "restricted")).await;
    let client = start(&front, CLIENT, client_poll("x", "restricted")).await;
    set(&front, vec![]).await;
    assert_eq!(poll.await.unwrap().json()["Status"], "no match");
    assert_eq!(client.await.unwrap().body, NO_PROXIES);
    let again = front.post(CLIENT, client_poll("x", "restricted")).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert_eq!(
        front.count("snowflake_broker_private_pool_client_polls_total", &[]),
        0
    );
    // One of the same name is another pool.
    set(&front, vec![family()]).await;
    let again = front.post(CLIENT, client_poll("x", "restricted")).await;
    assert_eq!(again.body, NO_PROXIES);
}

/// A matched client of a revoked pool has its time.
#[tokio::test(start_paused = true)]
async fn a_revoked_pool_keeps_its_deadlines() {
    let front = with(vec![family()]).await;
    let poll = start(&front, PROXY, proxy_poll("a", "open")).await;
    let client = start(&front, CLIENT, client_poll("x", "open")).await;
    assert_eq!(poll.await.unwrap().json()["Offer"], offer("x"));
    set(&front, vec![]).await;
    let (time, reply) = elapsed(client).await;
    assert!(reply.unwrap().json()["error"].is_string());
    assert!(time <= Settings::default().client_timeout, "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn pools_drain_with_the_broker() {
    let front = with(vec![family()]).await;
    let poll = start(&front, PROXY, proxy_poll("a", "restricted")).await;
    front.broker.control().start_draining();
    assert_eq!(poll.await.unwrap().json()["Status"], "no match");
    let (time, _) = elapsed(front.post(PROXY, proxy_poll("b", "restricted"))).await;
    assert_eq!(time, Duration::ZERO);
    front.broker.control().resume();
    let poll = start(&front, PROXY, proxy_poll("b", "restricted")).await;
    sleep(Duration::from_secs(1)).await;
    assert!(!poll.is_finished());
}

#[tokio::test(start_paused = true)]
async fn pools_that_are_let_go_are_named() {
    let front = with(vec![family(), pool("b", |_| {})]).await;
    let pools = front.broker.private_pools().unwrap();
    assert_eq!(pools.set(vec![family()]), ["b".into()]);
    assert_eq!(pools.set(vec![family()]), []);
    assert_eq!(pools.set(vec![]), ["a".into()]);
}
