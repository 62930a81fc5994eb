//! Matches of clients and proxies: timing and replies.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use snowflake_broker::bridges::BridgeList;
use snowflake_broker::broker::Directory;
use snowflake_broker::matching::Settings;
use tokio::time::sleep;

use crate::support::front::{Front, SECOND_BRIDGE};
use crate::support::messages::{answer, client_poll, offer, proxy_answer, proxy_poll};
use crate::{elapsed, front, start};

const NO_PROXIES: &str = r#"{"error":"no snowflake proxies currently available"}"#;
const TIMED_OUT: &str = r#"{"error":"timed out waiting for answer!"}"#;
const CLIENT_GONE: &str = r#"{"Status":"client gone"}"#;
const SUCCESS: &str = r#"{"Status":"success"}"#;
#[tokio::test(start_paused = true)]
async fn client_and_proxy_are_introduced() {
    let front = front();
    let poll = start(&front, "/proxy", proxy_poll("a", "unrestricted")).await;
    let client = start(&front, "/client", client_poll("hello", "restricted")).await;
    assert_eq!(
        poll.await.unwrap().json(),
        json!({
            "Status": "client match", "Offer": offer("hello"), "NAT": "restricted",
            "NextPoll": 20_000, "RelayURL": "wss://one.example/",
        })
    );
    let delivered = front.post("/answer", proxy_answer("a", "hi")).await;
    assert_eq!(delivered.body, SUCCESS);
    assert_eq!(
        client.await.unwrap().json(),
        json!({"answer": answer("hi")})
    );
    let again = front.post("/answer", proxy_answer("a", "hi")).await;
    assert_eq!(again.body, CLIENT_GONE);
}

#[tokio::test(start_paused = true)]
async fn the_bridge_of_the_fingerprint_is_named_to_the_proxy() {
    let front = front();
    let poll = start(&front, "/proxy", proxy_poll("a", "open")).await;
    let body = json!({"offer": offer("x"), "fingerprint": SECOND_BRIDGE.to_lowercase()});
    let _client = start(&front, "/client", format!("1.0\n{body}")).await;
    let poll = poll.await.unwrap().json();
    assert_eq!(poll["RelayURL"], "wss://two.example/");
    assert_eq!(poll["NAT"], "unknown");
}

#[tokio::test(start_paused = true)]
async fn a_bridge_may_be_named_by_its_ed25519_key() {
    let front = front();
    let key = "0123456789ABCDEF".repeat(4);
    let line = json!({
        "displayName": "", "webSocketAddress": "wss://key.example/", "fingerprint": key,
    });
    let bridges = BridgeList::parse(&line.to_string()).unwrap();
    let change = |directory: &mut Directory| directory.bridges = bridges;
    front.broker.control().update_directory(change);
    let poll = start(&front, "/proxy", proxy_poll("a", "open")).await;
    let body = json!({"offer": offer("x"), "fingerprint": key.to_lowercase()});
    let _client = start(&front, "/client", format!("1.0\n{body}")).await;
    assert_eq!(poll.await.unwrap().json()["RelayURL"], "wss://key.example/");
}

#[tokio::test(start_paused = true)]
async fn a_poll_without_a_client_ends_after_ten_seconds() {
    let front = front();
    let (waited, reply) = elapsed(front.post("/proxy", proxy_poll("a", "open"))).await;
    assert_eq!(waited.as_secs(), 10);
    assert_eq!(
        reply.json(),
        json!({"Status": "no match", "Offer": "", "NAT": "", "NextPoll": 20_000, "RelayURL": ""})
    );
    assert_eq!(
        front.count("snowflake_broker_proxy_polls_total", &[r#"outcome="idle""#]),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_proxy_is_denied_after_a_second() {
    let front = front();
    let (waited, reply) = elapsed(front.post("/client", client_poll("x", "open"))).await;
    assert_eq!(waited.as_secs(), 1);
    assert_eq!((reply.status, &*reply.body), (StatusCode::OK, NO_PROXIES));
}

#[tokio::test(start_paused = true)]
async fn a_client_in_the_queue_gets_the_proxy_that_polls() {
    let front = front();
    let _client = start(&front, "/client", client_poll("x", "strict")).await;
    sleep(Duration::from_millis(900)).await;
    let poll = front.post("/proxy", proxy_poll("a", "open")).await;
    assert_eq!(poll.json()["Status"], "client match");
}

#[tokio::test(start_paused = true)]
async fn a_matched_client_times_out_five_seconds_after_its_arrival() {
    let front = front();
    let _poll = start(&front, "/proxy", proxy_poll("a", "open")).await;
    let (waited, reply) = elapsed(front.post("/client", client_poll("x", "open"))).await;
    assert_eq!(waited.as_secs(), 5);
    assert_eq!((reply.status, &*reply.body), (StatusCode::OK, TIMED_OUT));
    let late = front.post("/answer", proxy_answer("a", "hi")).await;
    assert_eq!((late.status, &*late.body), (StatusCode::OK, CLIENT_GONE));
}

#[tokio::test(start_paused = true)]
async fn a_silent_proxy_is_followed_by_a_second_one() {
    let front = Arc::new(Front::new(Settings {
        second_chance_reserve: 0,
        ..Settings::default()
    }));
    let first = start(&front, "/proxy", proxy_poll("first", "open")).await;
    let client = start(&front, "/client", client_poll("x", "open")).await;
    assert_eq!(first.await.unwrap().json()["Status"], "client match");
    let (waited, second) = elapsed(front.post("/proxy", proxy_poll("second", "open"))).await;
    assert_eq!(waited.as_millis(), 1_999);
    assert_eq!(second.json()["Offer"], offer("x"));
    assert_eq!(
        front
            .post("/answer", proxy_answer("second", "2"))
            .await
            .body,
        SUCCESS
    );
    assert_eq!(client.await.unwrap().json()["answer"], answer("2"));
    assert_eq!(
        front.post("/answer", proxy_answer("first", "1")).await.body,
        CLIENT_GONE
    );
    assert_eq!(front.count("snowflake_broker_rematches_total", &[]), 1);
}

/// The last proxies are kept for clients that have had none, as long as an honest one may
/// still answer.
#[tokio::test(start_paused = true)]
async fn a_scarce_proxy_follows_a_silent_one_later() {
    let front = front();
    let first = start(&front, "/proxy", proxy_poll("first", "open")).await;
    let _client = start(&front, "/client", client_poll("x", "open")).await;
    assert_eq!(first.await.unwrap().json()["Status"], "client match");
    let (waited, second) = elapsed(front.post("/proxy", proxy_poll("second", "open"))).await;
    assert_eq!(waited.as_millis(), 3_749);
    assert_eq!(second.json()["Offer"], offer("x"));
}

/// An empty answer, or one without candidates, says that the proxy cannot answer.
#[tokio::test(start_paused = true)]
async fn a_proxy_that_cannot_answer_passes_its_client_on() {
    let front = front();
    let described = json!({"type": "answer", "sdp": "v=0"}).to_string();
    for word in ["", &described] {
        let first = start(&front, "/proxy", proxy_poll("first", "open")).await;
        let client = start(&front, "/client", client_poll("x", "open")).await;
        assert_eq!(first.await.unwrap().json()["Status"], "client match");
        let second = start(&front, "/proxy", proxy_poll("second", "open")).await;
        let declined = json!({"Version": "1.3", "Sid": "first", "Answer": word});
        let reply = front.post("/answer", declined.to_string()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(second.await.unwrap().json()["Offer"], offer("x"));
        front.post("/answer", proxy_answer("second", "hi")).await;
        assert_eq!(client.await.unwrap().json()["answer"], answer("hi"));
    }
    let declined = ["outcome=\"declined\""];
    let answers = "snowflake_broker_proxy_answers_total";
    assert_eq!(front.count(answers, &declined), 2);
    assert_eq!(front.count("snowflake_broker_refusals_total", &[]), 0);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_goes_away_leaves_its_pool_at_once() {
    let front = front();
    let poll = start(&front, "/proxy", proxy_poll("a", "open")).await;
    poll.abort();
    assert!(poll.await.unwrap_err().is_cancelled());
    assert!(front.broker.control().snapshot().parked.is_empty());
    let denied = front.post("/client", client_poll("x", "open")).await;
    assert_eq!(denied.body, NO_PROXIES);
    assert_eq!(
        front.count(
            "snowflake_broker_proxy_polls_total",
            &[r#"outcome="abandoned""#]
        ),
        1
    );
}

/// The connection closes while the reply is on its way but not taken yet.
#[tokio::test(start_paused = true)]
async fn an_offer_that_reaches_no_proxy_goes_to_the_next() {
    let front = front();
    let poll = start(&front, "/proxy", proxy_poll("gone", "open")).await;
    let next = start(&front, "/proxy", proxy_poll("next", "open")).await;
    let mut client = Box::pin(front.post("/client", client_poll("x", "open")));
    // Polls the client once, but not the proxy that it was handed to.
    let mut context = Context::from_waker(Waker::noop());
    assert!(client.as_mut().poll(&mut context).is_pending());
    poll.abort();
    assert_eq!(next.await.unwrap().json()["Offer"], offer("x"));
    assert_eq!(
        front.count("snowflake_broker_hand_offs_failed_total", &[]),
        1
    );
    front.post("/answer", proxy_answer("next", "hi")).await;
    assert_eq!(client.await.json()["answer"], answer("hi"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_frees_its_match() {
    let front = front();
    let poll = start(&front, "/proxy", proxy_poll("a", "open")).await;
    let client = start(&front, "/client", client_poll("x", "open")).await;
    poll.await.unwrap();
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    assert_eq!(front.broker.control().snapshot().matched_clients, 0);
    assert_eq!(
        front.post("/answer", proxy_answer("a", "hi")).await.body,
        CLIENT_GONE
    );
}

#[tokio::test(start_paused = true)]
async fn a_sid_that_is_waiting_is_refused() {
    let front = front();
    let _poll = start(&front, "/proxy", proxy_poll("a", "open")).await;
    let newcomer = front.post("/proxy", proxy_poll("a", "open")).await;
    assert_eq!(
        (newcomer.status, &*newcomer.body),
        (StatusCode::BAD_REQUEST, "")
    );
    assert_eq!(
        front.count(
            "snowflake_broker_refusals_total",
            &[r#"reason="sid_in_use""#]
        ),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn too_many_polls_hear_no_match_at_once_and_to_wait_longer() {
    let settings = Settings {
        max_parked_polls: 1,
        ..Settings::default()
    };
    let front = Arc::new(Front::new(settings));
    let _poll = start(&front, "/proxy", proxy_poll("a", "open")).await;
    let (waited, reply) = elapsed(front.post("/proxy", proxy_poll("b", "open"))).await;
    assert_eq!(waited, Duration::ZERO);
    assert_eq!(reply.json()["Status"], "no match");
    assert_eq!(reply.json()["NextPoll"], 120_000);
}

#[tokio::test(start_paused = true)]
async fn a_lame_duck_serves_clients_and_sends_polls_to_the_successor() {
    let front = front();
    let parked = start(&front, "/proxy", proxy_poll("parked", "open")).await;
    front.broker.control().expect_successor();
    front.broker.control().start_lame_duck();
    let mut intervals = BTreeSet::new();
    for number in 0..20 {
        let poll = proxy_poll(&format!("new {number}"), "open");
        let (waited, poll) = elapsed(front.post("/proxy", poll)).await;
        assert_eq!(waited, Duration::ZERO);
        assert_eq!(poll.json()["Status"], "no match");
        intervals.insert(poll.json()["NextPoll"].as_u64().unwrap());
    }
    assert!(intervals.iter().all(|next| (1000..=3000).contains(next)));
    assert!(intervals.len() > 10, "{intervals:?}");

    let client = start(&front, "/client", client_poll("x", "open")).await;
    assert_eq!(parked.await.unwrap().json()["Status"], "client match");
    let answered = front.post("/answer", proxy_answer("parked", "hi")).await;
    assert_eq!(answered.body, SUCCESS);
    assert_eq!(client.await.unwrap().json()["answer"], answer("hi"));
}

/// A broker that stays drained for an hour does not need its whole fleet back every other
/// second.
#[tokio::test(start_paused = true)]
async fn proxies_come_back_as_usual_while_a_broker_drains_that_stays() {
    let front = front();
    front.broker.control().start_lame_duck();
    let lame = front.post("/proxy", proxy_poll("a", "open")).await;
    front.broker.control().drain().await;
    let drained = front.post("/proxy", proxy_poll("b", "open")).await;
    for reply in [lame, drained] {
        assert_eq!(reply.json()["Status"], "no match");
        assert_eq!(reply.json()["NextPoll"], 20_000);
    }

    front.broker.control().resume();
    let poll = start(&front, "/proxy", proxy_poll("c", "open")).await;
    let _client = start(&front, "/client", client_poll("x", "open")).await;
    assert_eq!(poll.await.unwrap().json()["Status"], "client match");
}

#[tokio::test(start_paused = true)]
async fn draining_lets_matched_clients_finish_and_nobody_else() {
    let front = front();
    let matched = start(&front, "/proxy", proxy_poll("matched", "open")).await;
    let client = start(&front, "/client", client_poll("x", "open")).await;
    matched.await.unwrap();
    let queued = start(&front, "/client", client_poll("y", "strict")).await;
    let parked = start(&front, "/proxy", proxy_poll("parked", "strict")).await;
    let drained = tokio::spawn({
        let front = Arc::clone(&front);
        async move { front.broker.control().drain().await }
    });

    assert_eq!(parked.await.unwrap().json()["Status"], "no match");
    assert_eq!(queued.await.unwrap().body, NO_PROXIES);
    let (waited, poll) = elapsed(front.post("/proxy", proxy_poll("new", "open"))).await;
    assert_eq!(
        (waited, &poll.json()["Status"]),
        (Duration::ZERO, &json!("no match"))
    );
    let (waited, new) = elapsed(front.post("/client", client_poll("z", "open"))).await;
    assert_eq!((waited, &*new.body), (Duration::ZERO, NO_PROXIES));

    assert!(!drained.is_finished());
    assert_eq!(
        front
            .post("/answer", proxy_answer("matched", "hi"))
            .await
            .body,
        SUCCESS
    );
    assert_eq!(client.await.unwrap().json()["answer"], answer("hi"));
    drained.await.unwrap();
}
