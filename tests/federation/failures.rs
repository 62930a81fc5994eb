//! Failures of brokers and links, and their effect on clients.

use std::time::Duration;

use snowflake_broker::broker::NoAnswer;
use snowflake_broker::matching;
use tokio::time::sleep;

use crate::network::Network;
use crate::node::{Node, peers, three};
use crate::support::in_process::Stopwatch;
use crate::support::messages::answer;

/// The time within which a peer must be back in use.
const BACK_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn when_a_lender_dies_in_a_match_the_next_one_gets_the_client() {
    let network = Network::default();
    let [a, b, c] = three(&network);
    let taken = b.silent_proxy("of b");
    a.sees_proxies("b.example", 1).await;
    let client = a.begin_client("c");
    taken.await.unwrap().unwrap();
    let _of_c = c.proxy("of c");
    a.sees_proxies("c.example", 1).await;
    network.kill("b.example");
    assert_eq!(client.await.unwrap(), Ok(answer("of c")));
    assert!(!a.peer("b.example").figures.is_connected);
    assert!(a.peer("b.example").problem.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_dead_link_is_found_and_mended_in_time() {
    let network = Network::default();
    let [a, b, _c] = three(&network);
    a.sees_proxies("b.example", 0).await;
    let cut = Stopwatch::start();
    network.isolate("b.example");
    a.sees("b.example", |peer| !peer.figures.is_connected).await;
    assert!(
        cut.elapsed() < Duration::from_secs(5),
        "{:?}",
        cut.elapsed()
    );
    sleep(Duration::from_mins(10)).await;
    let mended = Stopwatch::start();
    network.mend("b.example");
    let _proxy = b.proxy("p");
    a.sees_proxies("b.example", 1).await;
    assert!(mended.elapsed() < BACK_WITHIN, "{:?}", mended.elapsed());
    assert_eq!(a.client("c").await, Ok(answer("p")));
}

#[tokio::test(start_paused = true)]
async fn a_cut_in_a_match_costs_no_client_more_than_its_time() {
    let network = Network::default();
    let [a, b, c] = three(&network);
    let taken = b.silent_proxy("of b");
    a.sees_proxies("b.example", 1).await;
    let began = Stopwatch::start();
    let client = a.begin_client("c");
    taken.await.unwrap().unwrap();
    network.isolate("b.example");
    assert_eq!(client.await.unwrap(), Err(NoAnswer::TimedOut));
    assert!(began.elapsed() <= matching::Settings::default().client_timeout);
    // The lender notices, too, and its proxy is free again.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(b.broker.control().snapshot().matched_clients, 0);
    let _of_c = c.proxy("of c");
    a.sees_proxies("c.example", 1).await;
    assert_eq!(a.client("d").await, Ok(answer("of c")));
}

#[tokio::test(start_paused = true)]
async fn a_lender_that_starts_anew_is_asked_again() {
    let network = Network::default();
    let [a, b, _c] = three(&network);
    a.sees_proxies("b.example", 0).await;
    network.kill("b.example");
    drop(b);
    a.sees("b.example", |peer| !peer.figures.is_connected).await;
    sleep(Duration::from_mins(1)).await;
    let began = Stopwatch::start();
    let b = Node::start(&network, "b.example", &peers(&["a.example"]));
    let _proxy = b.proxy("p");
    a.sees_proxies("b.example", 1).await;
    assert!(began.elapsed() < BACK_WITHIN, "{:?}", began.elapsed());
    a.client("c").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lender_that_drains_says_so_and_finishes_what_it_has() {
    let network = Network::default();
    let [a, b, _c] = three(&network);
    let taken = b.silent_proxy("taken");
    a.sees_proxies("b.example", 1).await;
    let client = a.begin_client("c");
    taken.await.unwrap().unwrap();
    let _free = b.proxy("free");
    a.sees_proxies("b.example", 1).await;
    b.broker.control().start_lame_duck();
    a.sees("b.example", |peer| peer.is_draining).await;
    assert_eq!(a.client("comes late").await, Err(NoAnswer::NoProxies));
    b.answer("taken").await;
    assert_eq!(client.await.unwrap(), Ok(answer("taken")));
    b.broker.control().resume();
    a.sees("b.example", |peer| !peer.is_draining).await;
}

#[tokio::test(start_paused = true)]
async fn a_borrower_that_drains_waits_for_what_it_has_borrowed() {
    let network = Network::default();
    let [a, b, _c] = three(&network);
    let taken = b.silent_proxy("p");
    a.sees_proxies("b.example", 1).await;
    let client = a.begin_client("c");
    taken.await.unwrap().unwrap();
    let drained = tokio::spawn({
        let broker = a.broker.clone();
        async move { broker.control().drain().await }
    });
    sleep(Duration::from_millis(100)).await;
    assert!(!drained.is_finished());
    assert_eq!(a.client("comes late").await, Err(NoAnswer::NoProxies));
    b.answer("p").await;
    assert_eq!(client.await.unwrap(), Ok(answer("p")));
    drained.await.unwrap();
}
