//! Clients and proxies of private pools, each at any node.

use std::sync::Arc;
use std::time::Duration;

use snowflake_broker::broker::{Broker, NoAnswer};
use snowflake_broker::wire::answer::AnswerStatus;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::bus::Hub;
use crate::node::{Node, three};
use crate::support::in_process::{answer as answers, begin_client, begin_poll, poll};
use crate::support::messages::{answer, offer};

/// The time in which a word of supply comes round.
const A_MOMENT: Duration = Duration::from_millis(500);

async fn three_with_pools(hub: &Hub) -> [Node; 3] {
    let nodes = three(hub).await;
    for node in &nodes {
        node.set_pools(&["p", "q"]).await;
    }
    nodes
}

/// Starts a proxy that polls and does not answer. Returns the offer.
async fn parked(broker: &Arc<Broker>, sid: &str) -> JoinHandle<Option<String>> {
    let polled = begin_poll(broker, sid);
    sleep(A_MOMENT).await;
    polled
}

/// The client polled at A, its proxy at B, and that one answers at C.
#[tokio::test(start_paused = true)]
async fn client_poll_and_answer_of_a_pool_may_each_be_at_another_node() {
    let hub = Hub::new(1);
    let [a, b, c] = three_with_pools(&hub).await;
    let of_all = parked(&b.broker, "all").await;
    let of_other = parked(&b.pool("q"), "other").await;
    let of_pool = parked(&b.pool("p"), "own").await;
    let client = begin_client(&a.pool("p"), "c");
    assert_eq!(of_pool.await.unwrap(), Some(offer("c")));
    assert_eq!(
        answers(&c.pool("p"), "own", "own").await,
        AnswerStatus::Success
    );
    assert_eq!(client.await.unwrap(), Ok(answer("own")));
    assert!(!of_all.is_finished() && !of_other.is_finished());
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_a_proxy_of_another_pool_from_another_node() {
    let hub = Hub::new(1);
    let [a, b, _c] = three_with_pools(&hub).await;
    let of_pool = parked(&b.pool("p"), "own").await;
    assert_eq!(a.client("c").await, Err(NoAnswer::NoProxies));
    let of_other = begin_client(&a.pool("q"), "d").await.unwrap();
    assert_eq!(of_other, Err(NoAnswer::NoProxies));
    assert!(!of_pool.is_finished());
    drop(parked(&b.broker, "all").await);
    let of_pool = begin_client(&a.pool("q"), "e").await.unwrap();
    assert_eq!(of_pool, Err(NoAnswer::NoProxies));
}

/// The same Sid has an offer in the pool, and is asked for as everybody's and as another's.
#[tokio::test(start_paused = true)]
async fn an_answer_does_not_leave_its_pool() {
    let hub = Hub::new(1);
    let [a, b, c] = three_with_pools(&hub).await;
    let of_pool = parked(&b.pool("p"), "s").await;
    let client = begin_client(&b.pool("p"), "c");
    assert_eq!(of_pool.await.unwrap(), Some(offer("c")));
    for other in [Arc::clone(&a.broker), a.pool("q"), Arc::clone(&b.broker)] {
        assert_eq!(
            answers(&other, "s", "other").await,
            AnswerStatus::ClientGone
        );
    }
    assert_eq!(
        answers(&c.pool("p"), "s", "own").await,
        AnswerStatus::Success
    );
    assert_eq!(client.await.unwrap(), Ok(answer("own")));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_gets_a_proxy_that_comes_to_another_node() {
    let hub = Hub::new(1);
    let [a, b, _c] = three_with_pools(&hub).await;
    let client = begin_client(&a.pool("p"), "c");
    sleep(A_MOMENT).await;
    let pool = b.pool("p");
    assert_eq!(poll(&pool, "own", "open").await, Some(offer("c")));
    assert_eq!(answers(&pool, "own", "own").await, AnswerStatus::Success);
    assert_eq!(client.await.unwrap(), Ok(answer("own")));
}

/// A node that has heard of the pool's proxy asks before it hears of the end of the pool.
#[tokio::test(start_paused = true)]
async fn a_node_without_the_pool_takes_no_offer_for_it() {
    let hub = Hub::new(1);
    let [a, b, _c] = three_with_pools(&hub).await;
    let of_all = parked(&b.broker, "all").await;
    let of_pool = parked(&b.pool("p"), "own").await;
    b.set_pools(&[]).await;
    let ended = begin_client(&a.pool("p"), "c").await.unwrap();
    assert_eq!(ended, Err(NoAnswer::NoProxies));
    assert_eq!(of_pool.await.unwrap(), None);
    let refused = ["outcome=\"refused\""];
    let received = "snowflake_broker_node_offers_received_total";
    assert_eq!(b.count(received, &refused), 1);
    sleep(A_MOMENT).await;
    let ended = begin_client(&a.pool("p"), "c").await.unwrap();
    assert_eq!(ended, Err(NoAnswer::NoProxies));
    assert_eq!(b.count(received, &refused), 1);
    assert!(!of_all.is_finished());
}
