//! Memory after a burst, which must be returned to the system.

use serde_json::json;
use tokio::net::TcpStream;

use crate::faults::broker::Setup;
use crate::faults::stranger::connect;
use crate::faults::until;
use crate::support::messages::proxy_poll;

/// The number of proxies and of clients.
const BURST: usize = 3_000;

/// The size of a typical offer.
const OFFER_BYTES: usize = 3_000;

#[tokio::test]
async fn what_a_burst_took_is_given_back() {
    let broker = Setup::new()
        .with("listener.max_connections_per_peer", "0")
        .start()
        .await;
    let before = broker.at_rest().await;
    let at_rest = broker.memory();

    let offer = json!({"type": "offer", "sdp": "a".repeat(OFFER_BYTES)}).to_string();
    let client = format!("1.0\n{}", json!({"offer": offer, "nat": "restricted"}));
    let mut burst: Vec<TcpStream> = Vec::new();
    for number in 0..BURST {
        let poll = post("/proxy", &proxy_poll(&number.to_string(), "open"));
        burst.push(connect(broker.addr, poll.as_bytes()).await);
    }
    let client = post("/client", &client);
    for _ in 0..BURST {
        burst.push(connect(broker.addr, client.as_bytes()).await);
    }
    until("it has grown", || broker.memory() > 2 * at_rest).await;
    drop(burst);

    // It takes a quarter of this time-out of a minute.
    until("what it took is given back", || {
        broker.memory() < at_rest + at_rest / 2
    })
    .await;
    broker.recovers("a burst", before).await;
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
}
