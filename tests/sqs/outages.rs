//! Many clients, and failures of the service, in memory with paused time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use snowflake_broker::broker::clock;
use snowflake_broker::matching::Settings;
use snowflake_broker::metrics::labels::QueueCall;
use snowflake_broker::sqs::{Cause, LONG_POLL, QueueFront, QueueOptions};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::memory::Memory;
use crate::service::{Service as _, response};
use crate::support::front::Front;
use crate::support::messages::{answer, client_poll, proxy_answer, proxy_poll};

fn served(memory: &Memory, http: &Front, concurrency: usize) -> CancellationToken {
    let options = QueueOptions {
        name: "the queue".to_owned(),
        pool: None,
        concurrency,
        jitter: || 0.5,
    };
    let front = QueueFront::new(memory.clone(), Arc::clone(&http.broker), options);
    let stop = CancellationToken::new();
    tokio::spawn(front.serve(stop.clone()));
    stop
}

fn calls(memory: &Memory, call: QueueCall) -> usize {
    let calls = &memory.state().calls;
    calls.iter().filter(|made| **made == call).count()
}

/// The same test on moto is in `program`, where moto's own speed interferes.
#[tokio::test(start_paused = true)]
async fn two_hundred_clients_at_once_with_proxies_that_take_three_seconds() {
    let (memory, http) = (Memory::default(), Front::new(Settings::default()));
    let _stop = served(&memory, &http, 256);
    // After 2 s, a client is offered to a second proxy.
    let proxies = join_all((0..400).map(|number| {
        let (http, sid) = (&http, format!("p{number}"));
        async move {
            let poll = http.post("/proxy", proxy_poll(&sid, "open")).await.json();
            if poll["Status"] == "client match" {
                sleep(Duration::from_secs(3)).await;
                let offer = poll["Offer"].as_str().unwrap();
                http.post("/answer", proxy_answer(&sid, offer)).await;
            }
        }
    }));
    let clients = async {
        sleep(Duration::from_secs(1)).await;
        for client in 0..200 {
            let poll = client_poll(&format!("offer-{client:03}"), "restricted");
            memory.write(Some(&client.to_string()), &poll).await;
        }
        let written = clock::now();
        for client in 0..200 {
            let response = response(&memory, &client.to_string()).await;
            let answer = response["answer"].as_str().unwrap();
            assert!(answer.contains(&format!("offer-{client:03}")), "{answer}");
        }
        clock::now() - written
    };
    let (_, took) = tokio::join!(proxies, clients);
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert_eq!(memory.undeleted().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_down_is_asked_ever_less_and_then_served_again() {
    let (memory, http) = (Memory::default(), Front::new(Settings::default()));
    memory.state().outage = Some(Cause::Unreachable("nobody".to_owned()));
    let _stop = served(&memory, &http, 16);
    sleep(Duration::from_mins(5)).await;
    let asked = calls(&memory, QueueCall::CreateQueue);
    // After 0.5, 1, 2 and 4 s, then every 8 s.
    assert!((35..45).contains(&asked), "{asked}");
    let failures = ["call=\"CreateQueue\""];
    let counted = http.count("snowflake_broker_sqs_call_failures_total", &failures);
    assert_eq!(counted, asked as u64);

    memory.state().outage = None;
    sleep(Duration::from_secs(8)).await;
    memory.write(Some("c"), "1.0\n{}").await;
    sleep(Duration::from_millis(100)).await;
    assert!(memory.take_response("c").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn no_more_messages_are_taken_than_may_be_handled() {
    let (memory, http) = (Memory::default(), Front::new(Settings::default()));
    let _stop = served(&memory, &http, 12);
    for client in 0..30 {
        let poll = client_poll("x", "open");
        memory.write(Some(&format!("c{client}")), &poll).await;
    }
    sleep(Duration::from_millis(500)).await;
    // Each client waits a second for a proxy.
    assert_eq!(memory.state().reply_queues.len(), 12);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(memory.state().reply_queues.len(), 24);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(memory.state().reply_queues.len(), 30);
    assert_eq!(memory.undeleted().await, 0);
}

/// With one call at a time, each returning ten messages, it would take two seconds.
#[tokio::test(start_paused = true)]
async fn several_calls_wait_for_messages_while_there_are_many() {
    let (memory, http) = (Memory::default(), Front::new(Settings::default()));
    for client in 0..200 {
        let poll = client_poll("x", "open");
        memory.write(Some(&format!("c{client}")), &poll).await;
    }
    memory.state().round_trip = Duration::from_millis(100);
    let _stop = served(&memory, &http, 256);
    sleep(Duration::from_millis(850)).await;
    assert_eq!(memory.state().reply_queues.len(), 200);
    assert_eq!(memory.state().receiving, 4);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(memory.state().receiving, 1);
    assert_eq!(memory.undeleted().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_is_asked_while_the_reply_queue_is_created() {
    let (memory, http) = (Memory::default(), Front::new(Settings::default()));
    let _stop = served(&memory, &http, 16);
    // After one message, the next is expected.
    memory.write(Some("before"), "1.0\n{}").await;
    response(&memory, "before").await;
    memory.state().round_trip = Duration::from_secs(1);
    sleep(LONG_POLL + Duration::from_secs(2)).await;

    memory.write(Some("c"), &client_poll("x", "open")).await;
    let poll = http.post("/proxy", proxy_poll("p", "open"));
    let poll = timeout(Duration::from_millis(500), poll).await.unwrap();
    assert_eq!(poll.json()["Status"], "client match");
    assert!(!memory.has_reply_queue("c").await);
    http.post("/answer", proxy_answer("p", "hi")).await;
    let answered = response(&memory, "c").await;
    assert_eq!(answered["answer"], answer("hi"));
}

#[tokio::test(start_paused = true)]
async fn who_has_no_reply_queue_is_left_until_it_is_too_old() {
    let (memory, http) = (Memory::default(), Front::new(Settings::default()));
    memory.state().no_reply_queues = true;
    let _stop = served(&memory, &http, 16);
    let poll = client_poll("x", "open");
    memory.write(Some("c"), &poll).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(memory.undeleted().await, 1);
    let received = "snowflake_broker_client_polls_received_total";
    assert_eq!(http.count(received, &["rendezvous=\"sqs\""]), 0);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(memory.undeleted().await, 0);
    let stale = ["reason=\"stale\"", "request=\"client_poll\""];
    assert_eq!(http.count("snowflake_broker_refusals_total", &stale), 1);
}
