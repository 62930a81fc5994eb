//! Answers that come to another node than their polls.

use std::time::Duration;

use snowflake_broker::broker::{Caller, RequestOrigin, clock};
use snowflake_broker::wire::answer::AnswerStatus;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::bus::Hub;
use crate::node::{Node, three};
use crate::support::in_process::{Stopwatch, answer_as};
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

/// The numbers of offers began anew with each process, so that old answers fitted again.
#[tokio::test(start_paused = true)]
async fn answers_to_an_earlier_process_are_for_nobody() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    let _old = b.proxy("old");
    a.sees_proxies("b", 1).await;
    assert_eq!(a.client("c").await, Ok(answer("old")));
    let to_a = |hub: &Hub| {
        let sent = hub.sent().into_iter();
        let to_a = sent.filter(|message| message.subject == "test.node.a");
        to_a.collect::<Vec<_>>()
    };
    let recorded = to_a(&hub);
    drop(a);
    let a = Node::start(&hub, "a");
    let silent = b.silent_proxy("silent");
    a.sees_proxies("b", 1).await;
    let client = a.begin_client("another");
    silent.await.unwrap().unwrap();
    for message in &recorded {
        hub.inject(message);
    }
    sleep(Duration::from_millis(100)).await;
    assert_eq!(b.answer("silent").await, AnswerStatus::Success);
    assert_eq!(client.await.unwrap(), Ok(answer("silent")));
}

/// Each costs all nodes a message, whether they come one after the other or at once.
#[tokio::test(start_paused = true)]
async fn an_address_that_makes_up_sids_is_soon_over_its_limit() {
    let hub = Hub::new(1);
    let [a, _b, _c] = three(&hub).await;
    let asked = |hub: &Hub| {
        let sent = hub.sent().into_iter();
        sent.filter(|message| message.subject == "test.answers")
            .count()
    };
    let mut all = JoinSet::new();
    for number in 0..200 {
        let (broker, sid) = (a.broker.clone(), format!("made-up-{number}"));
        all.spawn(async move { answer_as(&broker, somebody(), &sid, "x").await });
    }
    let replies = all.join_all().await;
    let refused = replies.iter().filter(|reply| reply.is_err()).count();
    assert_eq!((asked(&hub), refused), (90, 110));
    sleep(Duration::from_secs(10)).await;
    for number in 0..100 {
        let sid = format!("later-{number}");
        let _fate = answer_as(&a.broker, somebody(), &sid, "x").await;
    }
    // Three a second, and each has waited for the nodes' replies.
    let later = asked(&hub) - 90;
    assert!((30..=32).contains(&later), "{later}");
}

/// Hundreds of proxies share an address, and the load balancer parts their polls and answers.
#[tokio::test(start_paused = true)]
async fn an_answer_for_another_node_costs_no_more_than_one_for_this() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    for number in 0..120 {
        let sid = format!("p{number}");
        let proxy = b.silent_proxy(&sid);
        a.sees_proxies("b", 1).await;
        let client = b.begin_client("c");
        proxy.await.unwrap().unwrap();
        let answered = answer_as(&a.broker, somebody(), &sid, &sid).await;
        assert_eq!(answered, Ok(AnswerStatus::Success), "{number}");
        client.await.unwrap().unwrap();
    }
}

fn somebody() -> Caller {
    let address = "5.9.0.1".parse().unwrap();
    Caller {
        arrived: clock::now(),
        address: Some(address),
        origin: RequestOrigin::Sender(address),
    }
}
