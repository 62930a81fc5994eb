//! Clients of one node that get the proxies of another.

use std::time::Duration;

use snowflake_broker::broker::NoAnswer;
use snowflake_broker::wire::answer::AnswerStatus;
use tokio::time::sleep;

use crate::bus::Hub;
use crate::node::{KEY, Node, three};
use crate::support::in_process::Stopwatch;
use crate::support::messages::{answer, offer};

#[tokio::test(start_paused = true)]
async fn a_client_gets_the_proxy_of_another_node() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    let proxy = b.proxy("p");
    a.sees_proxies("b", 1).await;
    assert_eq!(a.client("c").await, Ok(answer("p")));
    let served = Some((offer("c"), AnswerStatus::Success));
    assert_eq!(proxy.await.unwrap(), served);
    a.sees_proxies("b", 0).await;
    let answered = ["outcome=\"answered\""];
    assert_eq!(
        a.count("snowflake_broker_node_offers_sent_total", &answered),
        1
    );
    assert_eq!(
        b.count("snowflake_broker_node_offers_received_total", &answered),
        1
    );
    assert_eq!(
        a.count("snowflake_broker_node_answer_seconds_count", &[]),
        1
    );
    assert_eq!(a.count("snowflake_broker_cluster_nodes", &[]), 3);
}

#[tokio::test(start_paused = true)]
async fn own_proxies_come_first() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    let _theirs = b.proxy("theirs");
    let _ours = a.proxy("ours");
    a.sees_proxies("b", 1).await;
    assert_eq!(a.client("first").await, Ok(answer("ours")));
    assert_eq!(a.client("second").await, Ok(answer("theirs")));
}

#[tokio::test(start_paused = true)]
async fn the_reserve_is_for_clients_of_the_node() {
    let hub = Hub::new(1);
    let a = Node::start(&hub, "a");
    let b = Node::with(&hub, "b", 1, KEY);
    let _proxies = [b.proxy("1"), b.proxy("2")];
    a.sees_proxies("b", 1).await;
    a.client("gets one").await.unwrap();
    a.sees_proxies("b", 0).await;
    assert_eq!(a.client("gets none").await, Err(NoAnswer::NoProxies));
    b.client("gets the other").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_gets_the_proxy_that_comes_to_another_node() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    let client = a.begin_client("c");
    sleep(Duration::from_millis(500)).await;
    b.proxy("p");
    assert_eq!(client.await.unwrap(), Ok(answer("p")));
}

/// A saw a proxy that somebody else has got meanwhile.
#[tokio::test(start_paused = true)]
async fn a_node_without_proxies_says_so_and_the_next_is_asked() {
    let hub = Hub::new(1);
    let [a, b, c] = three(&hub).await;
    let [_of_b, _of_c] = [b.proxy("b"), c.proxy("c")];
    a.sees_proxies("b", 1).await;
    a.sees_proxies("c", 1).await;
    let clients = [b.begin_client("of b"), a.begin_client("of a")];
    for client in clients {
        client.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_frees_the_proxy() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    let proxy = b.silent_proxy("p");
    a.sees_proxies("b", 1).await;
    let client = a.begin_client("c");
    proxy.await.unwrap().unwrap();
    client.abort();
    sleep(Duration::from_millis(10)).await;
    assert_eq!(b.answer("p").await, AnswerStatus::ClientGone);
    assert_eq!(b.broker.control().snapshot().matched_clients, 0);
    let cancelled = ["outcome=\"cancelled\""];
    assert_eq!(
        a.count("snowflake_broker_node_offers_sent_total", &cancelled),
        1
    );
    assert_eq!(
        b.count("snowflake_broker_node_offers_received_total", &cancelled),
        1
    );
}

/// The second proxy of a client may be at another node, and the first answer wins.
#[tokio::test(start_paused = true)]
async fn a_second_chance_may_be_at_another_node() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    let silent = a.silent_proxy("silent");
    let _good = b.proxy("good");
    a.sees_proxies("b", 1).await;
    let watch = Stopwatch::start();
    assert_eq!(a.client("c").await, Ok(answer("good")));
    assert!(watch.elapsed() < Duration::from_secs(4));
    silent.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_drains_is_not_asked() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    let _proxy = b.proxy("p");
    a.sees_proxies("b", 1).await;
    b.broker.control().start_lame_duck();
    a.sees_proxies("b", 0).await;
    assert!(a.status_of("b").unwrap().is_draining);
    assert_eq!(a.client("c").await, Err(NoAnswer::NoProxies));
    assert_eq!(a.count("snowflake_broker_node_offers_sent_total", &[]), 0);
}

/// A node may have none when it is asked, and one a moment later.
#[tokio::test(start_paused = true)]
async fn a_client_that_waits_gets_the_next_proxy_wherever_it_polls() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    let gone = b.silent_proxy("gone");
    a.sees_proxies("b", 1).await;
    gone.abort();
    // The first asks in vain, the second finds that the first has asked for the only one.
    let clients = [a.begin_client("c1"), a.begin_client("c2")];
    for name in ["p1", "p2"] {
        sleep(Duration::from_millis(300)).await;
        assert!(b.proxy(name).await.unwrap().is_some(), "{name}");
    }
    for client in clients {
        assert!(client.await.unwrap().is_ok());
    }
}

/// A node that has said that a proxy has the offer does its part, even if the proxy is silent.
#[tokio::test(start_paused = true)]
async fn silent_proxies_do_not_count_against_their_node() {
    let hub = Hub::new(1);
    let [a, b, _c] = three(&hub).await;
    for round in 0..6 {
        let silent = [0, 1].map(|number| b.silent_proxy(&format!("{round} {number}")));
        a.sees_proxies("b", 2).await;
        assert_eq!(
            a.client(&format!("unlucky {round}")).await,
            Err(NoAnswer::TimedOut)
        );
        for proxy in silent {
            proxy.abort();
        }
    }
    let timed_out = ["outcome=\"timed_out\""];
    assert!(a.count("snowflake_broker_node_offers_sent_total", &timed_out) >= 6);
    let _proxy = b.proxy("good");
    a.sees_proxies("b", 1).await;
    assert_eq!(a.client("lucky").await, Ok(answer("good")));
}
