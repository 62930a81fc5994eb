//! Proxies and clients that poll continuously.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::FOREVER;
use crate::support::messages::{answer, offer, proxy_answer, proxy_poll};
use crate::support::peer::Peer;

/// The number of proxies and of clients.
const PEERS: usize = 8;
/// The error for a client without a proxy.
pub(crate) const NO_PROXIES: &str = "no snowflake proxies currently available";
/// The error for a client that asks for an unlisted bridge.
pub(crate) const UNKNOWN_BRIDGE: &str =
    "bridge with requested fingerprint is unknown to the broker";

/// The observations of the proxies and clients.
#[derive(Debug, Default)]
pub(crate) struct Met {
    /// The bridge that a client asked for, and the relay that its proxy was sent to.
    pub(crate) relays: BTreeSet<(String, String)>,
    /// The bridge that a client asked for, and the error that it got.
    pub(crate) errors: BTreeSet<(String, String)>,
    /// `NextPoll` of the polls that got no client, in milliseconds.
    pub(crate) intervals: BTreeSet<u64>,
}

/// The whole load.
pub(crate) struct Load {
    stopping: CancellationToken,
    peers: JoinSet<()>,
    met: Arc<Mutex<Met>>,
    answered: Arc<AtomicU64>,
}

impl Load {
    /// Starts a load of clients that ask for these bridges in turn.
    pub(crate) fn start(addr: SocketAddr, fingerprints: &[String]) -> Self {
        let mut load = Self {
            stopping: CancellationToken::new(),
            peers: JoinSet::new(),
            met: Arc::default(),
            answered: Arc::default(),
        };
        let fingerprints: Arc<[String]> = fingerprints.into();
        for number in 0..PEERS {
            load.peers.spawn(proxy(
                addr,
                number,
                load.stopping.clone(),
                Arc::clone(&load.met),
            ));
            let (met, answered) = (Arc::clone(&load.met), Arc::clone(&load.answered));
            let client = client(
                addr,
                Arc::clone(&fingerprints),
                number,
                load.stopping.clone(),
                met,
                answered,
            );
            load.peers.spawn(client);
        }
        load
    }

    /// The number of clients that got the answer of the proxy with their offer.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// The observations since the last call.
    pub(crate) fn take_met(&self) -> Met {
        std::mem::take(&mut self.met.lock().unwrap())
    }

    /// Stops the load, and returns its observations.
    pub(crate) async fn stop(mut self) -> Met {
        self.stopping.cancel();
        let ended = timeout(FOREVER, async {
            while let Some(peer) = self.peers.join_next().await {
                peer.unwrap();
            }
        });
        ended.await.expect("somebody waits for ever");
        self.take_met()
    }
}

/// Answers each offer with the proxy's name, preceded by the bridge.
async fn proxy(addr: SocketAddr, number: usize, stopping: CancellationToken, met: Arc<Mutex<Met>>) {
    let mut peer = Peer::http1(addr).await;
    for poll in 0.. {
        if stopping.is_cancelled() {
            return;
        }
        let sid = format!("{number}-{poll}");
        let (_, reply) = peer.post("/proxy", proxy_poll(&sid, "unrestricted")).await;
        let reply: Value = serde_json::from_str(&reply).unwrap();
        if reply["Status"] != "client match" {
            let interval = reply["NextPoll"].as_u64().unwrap();
            met.lock().unwrap().intervals.insert(interval);
            sleep(Duration::from_millis(20)).await;
            continue;
        }
        let offer: Value = serde_json::from_str(reply["Offer"].as_str().unwrap()).unwrap();
        let name = offer["sdp"].as_str().unwrap();
        let (fingerprint, _) = name.split_once(' ').unwrap();
        let relay = reply["RelayURL"].as_str().unwrap();
        let relay = (fingerprint.to_owned(), relay.to_owned());
        met.lock().unwrap().relays.insert(relay);
        peer.post("/answer", proxy_answer(&sid, name)).await;
    }
}

async fn client(
    addr: SocketAddr,
    fingerprints: Arc<[String]>,
    number: usize,
    stopping: CancellationToken,
    met: Arc<Mutex<Met>>,
    answered: Arc<AtomicU64>,
) {
    let mut peer = Peer::http2(addr).await;
    for poll in number.. {
        if stopping.is_cancelled() {
            return;
        }
        let fingerprint = &fingerprints[poll % fingerprints.len()];
        let name = format!("{fingerprint} {number}-{poll}");
        let body = json!({"offer": offer(&name), "nat": "restricted", "fingerprint": fingerprint});
        let (_, reply) = peer.post("/client", format!("1.0\n{body}")).await;
        let reply: Value = serde_json::from_str(&reply).unwrap();
        if let Some(error) = reply["error"].as_str() {
            let error = (fingerprint.clone(), error.to_owned());
            met.lock().unwrap().errors.insert(error);
            sleep(Duration::from_millis(20)).await;
        } else {
            assert_eq!(reply, json!({"answer": answer(&name)}));
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}
