//! Nodes and servers that fail, and a bus that is away.

use std::time::Duration;

use snowflake_broker::broker::NoAnswer;
use tokio::time::{sleep, timeout};

use crate::bus::Hub;
use crate::node::{KEY, Node, three};
use crate::support::in_process::Stopwatch;
use crate::support::messages::{answer, offer};

#[tokio::test(start_paused = true)]
async fn without_the_bus_a_node_serves_on_its_own_at_once() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    let _theirs = b.proxy("theirs");
    a.sees_proxies("b", 1).await;
    hub.cut_off("a");
    sleep(Duration::from_millis(1)).await;
    assert!(!a.seen().is_connected);
    assert_eq!(a.client("has none").await, Err(NoAnswer::NoProxies));
    let _ours = a.proxy("ours");
    assert_eq!(a.client("has one").await, Ok(answer("ours")));
    assert_eq!(a.count("snowflake_broker_cluster_connected", &[]), 0);
}

/// Its connection is there, but nothing comes back.
#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_noticed_within_a_second() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    let _theirs = b.proxy("theirs");
    a.sees_proxies("b", 1).await;
    hub.with_faults(|faults| {
        faults.hung.insert("a".to_owned());
    });
    let watch = Stopwatch::start();
    while a.seen().is_connected {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(watch.elapsed() <= Duration::from_secs(1));
    let watch = Stopwatch::start();
    assert_eq!(
        a.answer("nobody").await,
        snowflake_broker::wire::answer::AnswerStatus::ClientGone
    );
    assert_eq!(watch.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_node_joins_again_by_itself() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    hub.cut_off("a");
    sleep(Duration::from_secs(10)).await;
    assert!(a.status_of("b").is_none());
    hub.with_faults(|faults| faults.cut_off.clear());
    let _theirs = b.proxy("theirs");
    let watch = Stopwatch::start();
    a.sees_proxies("b", 1).await;
    assert!(watch.elapsed() <= Duration::from_secs(1));
    assert_eq!(a.client("c").await, Ok(answer("theirs")));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hangs_costs_a_client_50_ms() {
    let hub = Hub::new(1);
    let [a, b, c] = three(&hub).await;
    let [_of_b, _of_c] = [b.proxy("b"), c.proxy("c")];
    a.sees_proxies("b", 1).await;
    a.sees_proxies("c", 1).await;
    for hung in ["b", "c"] {
        hub.with_faults(|faults| {
            faults.hung = [hung.to_owned()].into();
        });
        let watch = Stopwatch::start();
        let served = timeout(Duration::from_secs(1), a.client("c")).await;
        if let Ok(served) = served {
            served.unwrap();
            assert!(watch.elapsed() <= Duration::from_millis(60));
            return;
        }
    }
    panic!("no client was served");
}

/// Its first proxy does not answer, and the only other node hangs. Then somebody polls here.
#[tokio::test(start_paused = true)]
async fn a_node_that_hangs_costs_no_second_proxy() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    let _theirs = b.proxy("theirs");
    a.sees_proxies("b", 1).await;
    let silent = a.silent_proxy("silent");
    sleep(Duration::from_millis(1)).await;
    let client = a.begin_client("c");
    assert_eq!(silent.await.unwrap(), Some(offer("c")));
    hub.cut_off("b");
    // Meanwhile the client was overdue, and B was asked.
    sleep(Duration::from_millis(2_500)).await;
    let failed = ["outcome=\"failed\""];
    assert_eq!(
        a.count("snowflake_broker_node_offers_sent_total", &failed),
        1
    );
    let _second = a.proxy("second");
    assert_eq!(client.await.unwrap(), Ok(answer("second")));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_dies_is_forgotten_after_three_seconds() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    let _theirs = b.proxy("theirs");
    a.sees_proxies("b", 1).await;
    hub.with_faults(|faults| {
        faults.cut_off.insert("b".to_owned());
    });
    sleep(Duration::from_millis(3_500)).await;
    assert!(a.status_of("b").is_none());
    assert!(!hub.sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_forgotten_at_once() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    b.cluster.leave();
    sleep(Duration::from_millis(5)).await;
    assert!(a.status_of("b").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_again_is_known_as_another_one() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    let _lost = b.proxy("lost");
    a.sees_proxies("b", 1).await;
    drop(b);
    let b = Node::start(&hub, "b");
    a.sees_proxies("b", 0).await;
    let _new = b.proxy("new");
    a.sees_proxies("b", 1).await;
    assert_eq!(a.client("c").await, Ok(answer("new")));
}

#[tokio::test(start_paused = true)]
async fn who_has_another_key_is_no_node() {
    let hub = Hub::new(1);
    let a = Node::start(&hub, "a");
    let other_key = KEY.replace('Q', "g");
    let b = Node::with(&hub, "b", 0, &other_key);
    let _theirs = b.proxy("theirs");
    sleep(Duration::from_secs(1)).await;
    assert!(a.seen().others.is_empty() && b.seen().others.is_empty());
    let dropped = "snowflake_broker_cluster_messages_dropped_total";
    assert!(a.count(dropped, &["reason=\"not_sealed\""]) > 0);
}

/// A server that hung for a while does that, as does whoever listens to the bus.
#[tokio::test(start_paused = true)]
async fn repeated_words_of_an_earlier_process_push_nobody_out() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    let heard = hub.sent();
    drop(b);
    let b = Node::start(&hub, "b");
    let _proxy = b.proxy("p");
    a.sees_proxies("b", 1).await;
    for message in heard {
        hub.inject(&message);
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(a.status_of("b").unwrap().supply.iter().sum::<usize>(), 1);
    assert_eq!(a.client("c").await, Ok(answer("p")));
}

/// It would be a node again, and then be missed.
#[tokio::test(start_paused = true)]
async fn who_has_left_says_no_more() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    b.cluster.leave();
    let _proxy = b.proxy("late");
    for _ in 0..50 {
        sleep(Duration::from_millis(100)).await;
        assert!(a.status_of("b").is_none());
    }
}

/// Whoever listens has all words of all nodes that there ever were.
#[tokio::test(start_paused = true)]
async fn repeated_words_bring_no_node_back_that_is_gone() {
    let hub = Hub::new(1);
    let [a, b, c] = three(&hub).await;
    let _theirs = c.proxy("theirs");
    a.sees_proxies("c", 1).await;
    drop(c);
    sleep(Duration::from_secs(5)).await;
    assert!(a.status_of("c").is_none());
    for message in hub.sent() {
        hub.inject(&message);
    }
    sleep(Duration::from_millis(100)).await;
    assert!(a.status_of("c").is_none() && b.status_of("c").is_none());
    assert!(a.status_of("b").is_some());
    let c = Node::start(&hub, "c");
    let _another = c.proxy("another");
    a.sees_proxies("c", 1).await;
    assert_eq!(a.client("client").await, Ok(answer("another")));
}
