//! Borrowing and lending of proxies.

use std::time::Duration;

use snowflake_broker::broker::NoAnswer;
use snowflake_broker::federation::Settings;
use snowflake_broker::matching;
use snowflake_broker::wire::answer::AnswerStatus;
use tokio::time::sleep;

use crate::network::Network;
use crate::node::{Node, peer, peers, three};
use crate::support::in_process::Stopwatch;
use crate::support::messages::{answer, offer};

/// Two brokers that are peers, with one proxy at the second.
fn pair(network: &Network) -> (Node, Node) {
    let a = Node::start(network, "a.example", &peers(&["b.example"]));
    let b = Node::start(network, "b.example", &peers(&["a.example"]));
    (a, b)
}

#[tokio::test(start_paused = true)]
async fn a_client_gets_the_proxy_of_a_peer() {
    let network = Network::default();
    let (a, b) = pair(&network);
    let proxy = b.proxy("p");
    a.sees_proxies("b.example", 1).await;
    assert_eq!(a.client("c").await, Ok(answer("p")));
    assert_eq!(
        proxy.await.unwrap(),
        Some((offer("c"), AnswerStatus::Success))
    );
    a.sees_proxies("b.example", 0).await;
}

#[tokio::test(start_paused = true)]
async fn both_count_it_and_the_metrics_log_where_the_client_asked() {
    let network = Network::default();
    let (a, b) = pair(&network);
    let proxy = b.proxy("p");
    a.sees_proxies("b.example", 1).await;
    a.client("c").await.unwrap();
    proxy.await.unwrap();
    let [matched, answered] = ["outcome=\"matched\"", "outcome=\"answered\""];
    for (node, clients, borrowed, lent, polls) in [(&a, 1, 1, 0, 0), (&b, 0, 0, 1, 1)] {
        let counts = [
            ("snowflake_broker_client_polls_total", matched, clients),
            ("snowflake_broker_peer_borrowed_total", answered, borrowed),
            ("snowflake_broker_peer_lent_total", answered, lent),
            ("snowflake_broker_proxy_polls_total", matched, polls),
        ];
        for (family, label, count) in counts {
            assert_eq!(
                node.count(family, &[label]),
                count,
                "{}: {family}",
                node.name
            );
        }
    }
    assert_eq!(
        a.count("snowflake_broker_peer_answer_seconds_count", &[]),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn own_proxies_come_first() {
    let network = Network::default();
    let (a, b) = pair(&network);
    let _theirs = b.proxy("theirs");
    a.sees_proxies("b.example", 1).await;
    let _ours = a.proxy("ours");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(a.client("first").await, Ok(answer("ours")));
    assert_eq!(a.client("second").await, Ok(answer("theirs")));
}

#[tokio::test(start_paused = true)]
async fn the_reserve_is_for_own_clients() {
    let network = Network::default();
    let a = Node::start(&network, "a.example", &peers(&["b.example"]));
    let reserve = Settings {
        reserve: 1,
        ..peers(&["a.example"])
    };
    let b = Node::start(&network, "b.example", &reserve);
    let _proxies = [b.proxy("1"), b.proxy("2")];
    a.sees_proxies("b.example", 1).await;
    a.client("gets one").await.unwrap();
    a.sees_proxies("b.example", 0).await;
    assert_eq!(a.client("gets none").await, Err(NoAnswer::NoProxies));
    b.client("gets the other").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_offer_is_not_passed_on() {
    let network = Network::default();
    let a = Node::start(&network, "a.example", &peers(&["b.example"]));
    let b = Node::start(&network, "b.example", &peers(&["a.example", "c.example"]));
    let c = Node::start(&network, "c.example", &peers(&["b.example"]));
    let (_of_b, of_c) = (b.proxy("b"), c.proxy("c"));
    a.sees_proxies("b.example", 1).await;
    b.sees_proxies("c.example", 1).await;
    // A does not know yet that B's proxy is taken.
    b.client("of b").await.unwrap();
    assert_eq!(a.client("of a").await, Err(NoAnswer::NoProxies));
    assert!(!of_c.is_finished());
    b.client("of b again").await.unwrap();
    of_c.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_supply_the_client_waits_here_for_a_proxy() {
    let network = Network::default();
    let (a, _b) = pair(&network);
    a.sees_proxies("b.example", 0).await;
    let client = a.begin_client("c");
    sleep(Duration::from_millis(500)).await;
    a.proxy("late");
    assert_eq!(client.await.unwrap(), Ok(answer("late")));
}

/// Debian's client and proxy, each of which polled every ten seconds, missed each other
/// in this way.
#[tokio::test(start_paused = true)]
async fn who_is_queued_here_gets_a_proxy_that_comes_to_a_peer() {
    let network = Network::default();
    let (a, b) = pair(&network);
    a.sees_proxies("b.example", 0).await;
    let clients = [a.begin_client("first"), a.begin_client("second")];
    sleep(Duration::from_millis(500)).await;
    b.proxy("theirs");
    let [first, second] = clients;
    assert_eq!(first.await.unwrap(), Ok(answer("theirs")));
    // It has kept its place in the queue.
    assert_eq!(second.await.unwrap(), Err(NoAnswer::NoProxies));
    let borrowed = "snowflake_broker_peer_borrowed_total";
    assert_eq!(a.count(borrowed, &[]), 1);
    assert_eq!(a.count("snowflake_broker_client_polls_total", &[]), 2);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_comes_to_a_peer_is_nothing_to_who_has_one_here() {
    let network = Network::default();
    let (a, b) = pair(&network);
    a.sees_proxies("b.example", 0).await;
    let ours = a.silent_proxy("ours");
    sleep(Duration::from_millis(1)).await;
    let client = a.begin_client("c");
    ours.await.unwrap();
    let theirs = b.proxy("theirs");
    a.sees_proxies("b.example", 1).await;
    assert_eq!(a.answer("ours").await, AnswerStatus::Success);
    assert_eq!(client.await.unwrap(), Ok(answer("ours")));
    assert!(!theirs.is_finished());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_takes_the_offer_back() {
    let network = Network::default();
    let (a, b) = pair(&network);
    let proxy = b.silent_proxy("p");
    a.sees_proxies("b.example", 1).await;
    let client = a.begin_client("c");
    assert_eq!(proxy.await.unwrap(), Some(offer("c")));
    assert_eq!(b.broker.control().snapshot().matched_clients, 1);
    client.abort();
    sleep(Duration::from_millis(10)).await;
    assert_eq!(b.broker.control().snapshot().matched_clients, 0);
    assert_eq!(b.answer("p").await, AnswerStatus::ClientGone);
    let cancelled = ["outcome=\"cancelled\""];
    assert_eq!(
        a.count("snowflake_broker_peer_borrowed_total", &cancelled),
        1
    );
    assert_eq!(b.count("snowflake_broker_peer_lent_total", &cancelled), 1);
}

#[tokio::test(start_paused = true)]
async fn a_silent_proxy_gets_company_from_a_peer() {
    let network = Network::default();
    let (a, b) = pair(&network);
    let (silent, theirs) = (a.silent_proxy("silent"), b.proxy("theirs"));
    a.sees_proxies("b.example", 1).await;
    let began = Stopwatch::start();
    assert_eq!(a.client("c").await, Ok(answer("theirs")));
    let took = began.elapsed();
    let rematch_after = matching::Settings::default().rematch_after;
    assert!((rematch_after..rematch_after + Duration::from_millis(500)).contains(&took));
    assert!(silent.await.unwrap().is_some() && theirs.await.unwrap().is_some());
    assert_eq!(a.answer("silent").await, AnswerStatus::ClientGone);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_gets_company_from_an_own_proxy() {
    let network = Network::default();
    let (a, b) = pair(&network);
    let silent = b.silent_proxy("silent");
    a.sees_proxies("b.example", 1).await;
    let client = a.begin_client("c");
    assert!(silent.await.unwrap().is_some());
    let _ours = a.proxy("ours");
    assert_eq!(client.await.unwrap(), Ok(answer("ours")));
    sleep(Duration::from_millis(10)).await;
    assert_eq!(b.answer("silent").await, AnswerStatus::ClientGone);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_gets_company_from_another() {
    let network = Network::default();
    let [a, b, c] = three(&network);
    let silent = b.silent_proxy("silent");
    a.sees_proxies("b.example", 1).await;
    let began = Stopwatch::start();
    let client = a.begin_client("c");
    assert!(silent.await.unwrap().is_some());
    let _theirs = c.proxy("theirs");
    assert_eq!(client.await.unwrap(), Ok(answer("theirs")));
    let rematch_after = matching::Settings::default().rematch_after;
    assert!(began.elapsed() < rematch_after + Duration::from_millis(500));
    sleep(Duration::from_millis(10)).await;
    assert_eq!(b.answer("silent").await, AnswerStatus::ClientGone);
}

#[tokio::test(start_paused = true)]
async fn two_silent_peers_leave_the_client_to_who_comes_here() {
    let network = Network::default();
    let [a, b, c] = three(&network);
    let of_b = b.silent_proxy("of b");
    a.sees_proxies("b.example", 1).await;
    let client = a.begin_client("c");
    assert!(of_b.await.unwrap().is_some());
    let of_c = c.silent_proxy("of c");
    assert!(of_c.await.unwrap().is_some());
    network.kill("c.example");
    let _ours = a.proxy("ours");
    assert_eq!(client.await.unwrap(), Ok(answer("ours")));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_its_time() {
    let network = Network::default();
    let (a, b) = pair(&network);
    let _silent = [
        b.silent_proxy("1"),
        b.silent_proxy("2"),
        b.silent_proxy("3"),
    ];
    a.sees_proxies("b.example", 3).await;
    let began = Stopwatch::start();
    assert_eq!(a.client("c").await, Err(NoAnswer::TimedOut));
    let most = matching::Settings::default().client_timeout;
    assert!(began.elapsed() <= most, "{:?}", began.elapsed());
    sleep(Duration::from_mins(1)).await;
    for node in [&a, &b] {
        assert_eq!(
            node.broker.control().snapshot(),
            matching::Snapshot::default()
        );
    }
    assert_eq!(a.peer("b.example").borrowing, 0);
}

#[tokio::test(start_paused = true)]
async fn the_next_peer_is_asked_when_the_first_has_none() {
    let network = Network::default();
    let [a, b, c] = three(&network);
    for round in 0..10 {
        let (of_b, of_c) = (b.proxy("b"), c.proxy("c"));
        a.sees_proxies("b.example", 1).await;
        a.sees_proxies("c.example", 1).await;
        // The peer that is asked first may have nothing by now.
        b.client("takes the one of b").await.unwrap();
        assert_eq!(a.client("c").await, Ok(answer("c")), "round {round}");
        assert!(of_b.await.unwrap().is_some() && of_c.await.unwrap().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_to_be_asked_is_not() {
    let network = Network::default();
    let mut settings = peers(&["b.example"]);
    settings.peers[0].borrow = false;
    let a = Node::start(&network, "a.example", &settings);
    let b = Node::start(&network, "b.example", &peers(&["a.example"]));
    let _proxy = b.proxy("p");
    sleep(Duration::from_secs(3)).await;
    assert!(!a.peer("b.example").figures.is_connected);
    assert_eq!(a.client("c").await, Err(NoAnswer::NoProxies));
    settings.peers = vec![peer("b.example")];
    a.configure(&settings);
    a.sees_proxies("b.example", 1).await;
    a.client("c").await.unwrap();
}
