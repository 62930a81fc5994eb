//! Private pools that two operators share.

use std::time::Duration;

use snowflake_broker::broker::NoAnswer;
use snowflake_broker::federation::settings::Settings;
use snowflake_broker::wire::answer::AnswerStatus;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::network::Network;
use crate::node::{Node, peers};
use crate::support::in_process::{answer as answers, begin_client, begin_poll};
use crate::support::messages::{answer, offer};
use crate::support::private_pools::broker_of;

/// The time in which a change of supply is reported.
const A_MOMENT: Duration = Duration::from_millis(500);

/// Settings that share these pools with a peer.
fn sharing(peer: &str, pools: &[&str]) -> Settings {
    let mut settings = peers(&[peer]);
    settings.peers[0].private_pools = pools.iter().map(|&name| name.to_owned()).collect();
    settings
}

/// Two peers with the pools `p` and `q`, each of which shares some with the other.
async fn pair(network: &Network, shared: [&[&str]; 2]) -> [Node; 2] {
    let settings = [
        sharing("b.example", shared[0]),
        sharing("a.example", shared[1]),
    ];
    let nodes = [
        Node::start(network, "a.example", &settings[0]),
        Node::start(network, "b.example", &settings[1]),
    ];
    for node in &nodes {
        node.set_pools(&["p", "q"]).await;
    }
    nodes[0].sees_proxies("b.example", 0).await;
    nodes
}

/// Starts a proxy that polls and does not answer. Returns the offer.
async fn parked(node: &Node, pool: &str, sid: &str) -> JoinHandle<Option<String>> {
    let polled = begin_poll(&broker_of(&node.broker, pool), sid);
    sleep(A_MOMENT).await;
    polled
}

#[tokio::test(start_paused = true)]
async fn a_client_of_a_shared_pool_gets_its_proxy_at_the_peer() {
    let network = Network::default();
    let [a, b] = pair(&network, [&["p"], &["p"]]).await;
    let of_all = b.silent_proxy("all");
    let of_other = parked(&b, "q", "other").await;
    let of_pool = parked(&b, "p", "own").await;
    let client = begin_client(&broker_of(&a.broker, "p"), "c");
    assert_eq!(of_pool.await.unwrap(), Some(offer("c")));
    let lender = broker_of(&b.broker, "p");
    assert_eq!(answers(&lender, "own", "own").await, AnswerStatus::Success);
    assert_eq!(client.await.unwrap(), Ok(answer("own")));
    assert!(!of_all.is_finished() && !of_other.is_finished());
    let lent = ["outcome=\"answered\""];
    assert_eq!(b.count("snowflake_broker_peer_lent_total", &lent), 1);
}

/// Neither the lender nor the borrower alone decides.
#[tokio::test(start_paused = true)]
async fn a_pool_is_shared_if_both_say_so() {
    for shared in [[&["p"][..], &[]], [&[], &["p"]], [&["p"], &["q"]]] {
        let network = Network::default();
        let [a, b] = pair(&network, shared).await;
        let of_pool = parked(&b, "p", "own").await;
        for pool in ["p", "q"] {
            let denied = begin_client(&broker_of(&a.broker, pool), "c")
                .await
                .unwrap();
            assert_eq!(denied, Err(NoAnswer::NoProxies), "{shared:?}");
        }
        assert_eq!(a.client("d").await, Err(NoAnswer::NoProxies));
        assert!(!of_pool.is_finished(), "{shared:?}");
    }
}

/// A peer that asks for a pool although it has been told of no proxies gets none.
#[tokio::test(start_paused = true)]
async fn a_pool_that_is_no_longer_shared_is_not_lent_from() {
    let network = Network::default();
    let [a, b] = pair(&network, [&["p"], &["p"]]).await;
    let of_pool = parked(&b, "p", "own").await;
    b.configure(&peers(&["a.example"]));
    let denied = begin_client(&broker_of(&a.broker, "p"), "c").await.unwrap();
    assert_eq!(denied, Err(NoAnswer::NoProxies));
    let lent = ["outcome=\"no_proxies\""];
    assert_eq!(b.count("snowflake_broker_peer_lent_total", &lent), 1);
    assert!(!of_pool.is_finished());
}
