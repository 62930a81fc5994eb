//! Slow clients, which try to keep connections and memory for themselves.

use tokio::task::JoinSet;

use crate::broker::Setup;
use crate::report::Row;
use crate::shapes::{SLOW_BODY, SLOW_HEAD, tls_hello, trickle};
use crate::stranger::{connect, read_to_end};

const PEERS: usize = 1_000;

fn impatient() -> Setup {
    Setup::new()
        .with("listener.tls_handshake_timeout", "3s")
        .with("listener.header_read_timeout", "3s")
        .with("http.body_read_timeout", "3s")
}

/// Sends a byte now and then on many connections. Returns the reply that each got in the
/// end.
async fn trickles(begin: &'static [u8], more: &'static [u8]) -> Vec<String> {
    let mut peers = JoinSet::new();
    for _ in 0..PEERS {
        peers.spawn(async move { trickle(connect(begin).await, more).await });
    }
    peers.join_all().await
}

pub(crate) async fn heads() -> Row {
    let broker = impatient().start().await;
    let attack = async |_: &_| {
        let replies = trickles(SLOW_HEAD, b"a").await;
        assert!(replies.iter().all(String::is_empty), "{replies:?}");
        format!("{PEERS} heads, none finished, each dropped after 3 s")
    };
    broker.withstands(attack).await
}

pub(crate) async fn bodies() -> Row {
    let broker = impatient().start().await;
    let attack = async |_: &_| {
        let replies = trickles(SLOW_BODY, b" ").await;
        let refused = |reply: &&String| reply.starts_with("HTTP/1.1 400");
        assert_eq!(replies.iter().filter(refused).count(), PEERS, "{replies:?}");
        format!("{PEERS} bodies, none finished, each refused after 3 s")
    };
    broker.withstands(attack).await
}

/// A third of the connections are silent, a third send half of their hello, and the rest
/// send a whole hello and then nothing.
pub(crate) async fn handshakes() -> Row {
    let broker = impatient().over_tls().start().await;
    let attack = async |broker: &crate::broker::Broker| {
        let hello = tls_hello();
        let mut silent = Vec::new();
        for number in 0..PEERS {
            let sent = number % 3 * hello.len() / 2;
            silent.push(connect(&hello[..sent]).await);
        }
        for stream in &mut silent {
            read_to_end(stream).await;
        }
        let late = [("reason", "timeout")];
        let late = broker.count("tls_handshake_failures_total", &late).await;
        assert_eq!(usize::try_from(late).unwrap(), PEERS);
        format!("{PEERS} handshakes, none finished, each dropped after 3 s")
    };
    broker.withstands(attack).await
}
