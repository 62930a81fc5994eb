//! Answers that come to another node than their polls.

use std::time::Duration;

use snowflake_broker::wire::answer::AnswerStatus;
use tokio::time::sleep;

use crate::bus::Hub;
use crate::node::three;
use crate::support::in_process::Stopwatch;
use crate::support::messages::{answer, offer};

const STRAYS: &str = "snowflake_broker_stray_answers_total";

#[tokio::test(start_paused = true)]
async fn an_answer_finds_its_client_from_any_node() {
    let hub = Hub::new(1);
    let [a, b, c] = three(&hub).await;
    let proxy = a.proxy_answering_at(&b, "p");
    sleep(Duration::from_millis(10)).await;
    assert_eq!(a.client("c").await, Ok(answer("p")));
    let served = Some((offer("c"), AnswerStatus::Success));
    assert_eq!(proxy.await.unwrap(), served);
    assert_eq!(b.count(STRAYS, &["outcome=\"delivered\""]), 1);
    // The answer is counted where its offer is.
    let answers = "snowflake_broker_proxy_answers_total";
    assert_eq!(a.count(answers, &["outcome=\"delivered\""]), 1);
    assert_eq!(b.count(answers, &[]) + c.count(answers, &[]), 0);
}

/// The client polled at A, its proxy at B, and that one answers at C.
#[tokio::test(start_paused = true)]
async fn client_poll_and_answer_may_each_be_at_another_node() {
    let hub = Hub::new(1);
    let [a, b, c] = three(&hub).await;
    let proxy = b.proxy_answering_at(&c, "p");
    a.sees_proxies("b", 1).await;
    assert_eq!(a.client("c").await, Ok(answer("p")));
    let (_, status) = proxy.await.unwrap().unwrap();
    assert_eq!(status, AnswerStatus::Success);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_hears_at_any_node_that_its_client_has_gone() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    let proxy = a.silent_proxy("p");
    sleep(Duration::from_millis(10)).await;
    let client = a.begin_client("c");
    proxy.await.unwrap().unwrap();
    client.abort();
    sleep(Duration::from_millis(10)).await;
    assert_eq!(b.answer("p").await, AnswerStatus::ClientGone);
    assert_eq!(b.count(STRAYS, &["outcome=\"client_gone\""]), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_sid_is_unknown_once_all_have_said_so() {
    let hub = Hub::new(1);
    let [a, _b, _c] = three(&hub).await;
    let watch = Stopwatch::start();
    assert_eq!(a.answer("nobody").await, AnswerStatus::ClientGone);
    assert!(watch.elapsed() < Duration::from_millis(10));
    assert_eq!(a.count(STRAYS, &["outcome=\"unknown\""]), 1);
    let unknown = ["outcome=\"unknown\""];
    assert_eq!(a.count("snowflake_broker_proxy_answers_total", &unknown), 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_delays_an_answer_by_less_than_a_third_of_a_second() {
    let hub = Hub::new(1);
    let [a, _b, _c] = three(&hub).await;
    hub.with_faults(|faults| {
        faults.hung.insert("c".to_owned());
    });
    let watch = Stopwatch::start();
    assert_eq!(a.answer("nobody").await, AnswerStatus::ClientGone);
    assert_eq!(watch.elapsed().as_millis() / 10, 30);
}

#[tokio::test(start_paused = true)]
async fn messages_name_no_sid_and_no_offer() {
    let hub = Hub::new(1);
    let [a, b, c] = three(&hub).await;
    let _proxy = b.proxy_answering_at(&c, "a-remarkable-sid");
    a.sees_proxies("b", 1).await;
    a.client("a-remarkable-offer").await.unwrap();
    for message in hub.sent() {
        let shown = String::from_utf8_lossy(&message.payload).into_owned() + &message.subject;
        assert!(!shown.contains("remarkable"), "{shown}");
    }
}

/// A stranger on the bus, or a node of another cluster with the same name, repeats what it
/// has heard, and says things of its own.
#[tokio::test(start_paused = true)]
async fn strangers_and_repeated_messages_change_nothing() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    let proxy = b.silent_proxy("p");
    a.sees_proxies("b", 1).await;
    let client = a.begin_client("c");
    proxy.await.unwrap().unwrap();
    let _other = b.proxy("other");
    sleep(Duration::from_millis(500)).await;
    for message in hub.sent() {
        hub.inject(&message);
        let mut changed = message.payload.to_vec();
        changed[20] ^= 1;
        let payload = changed.into();
        hub.inject(&snowflake_broker::cluster::BusMessage { payload, ..message });
    }
    sleep(Duration::from_millis(10)).await;
    assert_eq!(b.broker.control().snapshot().matched_clients, 1);
    assert_eq!(b.answer("p").await, AnswerStatus::Success);
    assert_eq!(client.await.unwrap(), Ok(answer("p")));
    let dropped = "snowflake_broker_cluster_messages_dropped_total";
    assert!(b.count(dropped, &["reason=\"not_sealed\""]) > 0);
    assert!(b.count(dropped, &["reason=\"repeated\""]) > 0);
}
