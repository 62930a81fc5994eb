//! Many clients and proxies at once: no answer is lost or goes to the wrong client.

use std::net::SocketAddr;

use serde_json::Value;
use snowflake_broker::listener::Settings;
use snowflake_broker::matching;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::sockets::{FOREVER, parked, serve, until};
use crate::support::front::Front;
use crate::support::messages::{answer, client_poll, proxy_answer, proxy_poll};
use crate::support::peer::Peer;

const PAIRS: usize = 2_000;

/// A proxy that answers each offer with an answer made for it.
async fn proxy(addr: SocketAddr, number: usize) {
    let sid = format!("sid-{number}");
    let mut peer = Peer::http1(addr).await;
    let (_, reply) = peer.post("/proxy", proxy_poll(&sid, "open")).await;
    let reply: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!(reply["Status"], "client match");
    let offer: Value = serde_json::from_str(reply["Offer"].as_str().unwrap()).unwrap();
    let name = offer["sdp"].as_str().unwrap();
    let (_, status) = peer.post("/answer", proxy_answer(&sid, name)).await;
    assert_eq!(status, r#"{"Status":"success"}"#);
}

/// A client that accepts only an answer made for its own offer.
async fn client(addr: SocketAddr, number: usize) {
    let name = format!("client {number}");
    let mut peer = Peer::http1(addr).await;
    let (_, reply) = peer.post("/client", client_poll(&name, "restricted")).await;
    let reply: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!(reply["answer"], answer(&name), "{reply}");
}

/// The time-outs are long so that the test passes on a slow machine: it checks only that
/// each client gets its own answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_pairs_lose_nothing_and_cross_nothing() {
    let front = Front::new(matching::Settings {
        client_timeout: FOREVER,
        proxy_timeout: FOREVER,
        client_queue_wait: FOREVER,
        rematch_after: FOREVER,
        ..matching::Settings::default()
    });
    let settings = Settings {
        header_read_timeout: FOREVER,
        ..Settings::default()
    };
    let addr = serve(&front, settings, None).await;
    let mut peers = JoinSet::new();
    for number in 0..PAIRS {
        peers.spawn(proxy(addr, number));
        peers.spawn(client(addr, number));
    }
    let all = timeout(FOREVER * 2, async {
        while let Some(peer) = peers.join_next().await {
            peer.unwrap();
        }
    });
    all.await.expect("a rendezvous hangs");
    let matched = [
        front.count(
            "snowflake_broker_proxy_polls_total",
            &[r#"outcome="matched""#],
        ),
        front.count(
            "snowflake_broker_client_polls_total",
            &[r#"outcome="matched""#],
        ),
    ];
    let pairs = u64::try_from(PAIRS).unwrap();
    assert_eq!(matched, [pairs; 2]);
    assert_eq!(
        front.broker.control().snapshot(),
        matching::Snapshot::default()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parked_polls_that_vanish_together_are_never_handed_an_offer() {
    let front = Front::new(matching::Settings::default());
    let addr = serve(&front, Settings::default(), None).await;
    let mut vanishing = JoinSet::new();
    for number in 0..200 {
        vanishing.spawn(async move {
            let mut peer = Peer::http1(addr).await;
            peer.post("/proxy", proxy_poll(&format!("gone-{number}"), "open"))
                .await
        });
    }
    until(|| parked(&front) == 200).await;
    vanishing.abort_all();
    until(|| parked(&front) == 0).await;
    let rendezvous = timeout(FOREVER, async {
        tokio::join!(proxy(addr, 1), client(addr, 1));
    });
    rendezvous.await.expect("the rendezvous hangs");
    assert_eq!(
        front.count(
            "snowflake_broker_proxy_polls_total",
            &[r#"outcome="matched""#]
        ),
        1
    );
}
