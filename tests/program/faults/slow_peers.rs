//! Peers that send a byte now and then, to keep a connection open.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::faults::broker::{Broker, Setup};
use crate::faults::garbage::HELLO;
use crate::faults::stranger::{connect, read_to_end};

const PEERS: usize = 300;

/// Sends the bytes and then one more at a time until the broker closes, and returns its
/// reply.
async fn trickle(broker: SocketAddr, begin: &'static [u8], more: &'static [u8]) -> String {
    let stream = connect(broker, begin).await;
    let (mut reader, mut writer) = stream.into_split();
    let trickle = async {
        for byte in more.iter().cycle() {
            sleep(Duration::from_millis(100)).await;
            // After the broker has closed, its reply may still be in transit.
            writer.write_all(&[*byte]).await.ok();
        }
    };
    tokio::select! {
        () = trickle => unreachable!("it goes on for ever"),
        reply = read_to_end(&mut reader) => reply,
    }
}

/// Runs many such peers, while others are served. Returns the replies.
async fn attack(broker: &Broker, begin: &'static [u8], more: &'static [u8]) -> Vec<String> {
    let mut peers = JoinSet::new();
    for _ in 0..PEERS {
        peers.spawn(trickle(broker.addr, begin, more));
    }
    sleep(Duration::from_millis(200)).await;
    broker.rendezvous().await;
    peers.join_all().await
}

fn impatient() -> Setup {
    Setup::new()
        .with("listener.tls_handshake_timeout", "2s")
        .with("listener.header_read_timeout", "2s")
        .with("http.body_read_timeout", "2s")
}

#[tokio::test]
async fn handshakes_that_take_for_ever() {
    let broker = impatient().over_tls().start().await;
    let before = broker.at_rest().await;
    attack(&broker, HELLO, b"a").await;
    broker.recovers("slow handshakes", before).await;
    let told = broker.metrics().await;
    let failures = "snowflake_broker_tls_handshake_failures_total";
    let late = told.sum(failures, &[("reason", "timeout")]);
    assert_eq!(usize::try_from(late).unwrap(), PEERS);
}

#[tokio::test]
async fn heads_that_take_for_ever() {
    let broker = impatient().start().await;
    let before = broker.at_rest().await;
    let replies = attack(&broker, b"POST /proxy HTTP/1.1\r\nHost: a\r\nX-A: ", b"a").await;
    assert!(replies.iter().all(String::is_empty), "{replies:?}");
    broker.recovers("slow heads", before).await;
}

#[tokio::test]
async fn bodies_that_take_for_ever() {
    let broker = impatient().start().await;
    let before = broker.at_rest().await;
    let begin = b"POST /proxy HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n{";
    let replies = attack(&broker, begin, b" ").await;
    let refused = |reply: &&String| reply.starts_with("HTTP/1.1 400");
    assert_eq!(replies.iter().filter(refused).count(), PEERS, "{replies:?}");
    broker.recovers("slow bodies", before).await;
}

/// Requests a large page and never reads it.
#[tokio::test]
async fn replies_that_nobody_reads() {
    let setup = Setup::new().with("listener.idle_timeout", "2s");
    let broker = setup.start().await;
    let before = broker.at_rest().await;
    let mut unread: Vec<TcpStream> = Vec::new();
    let requests = b"GET /prometheus HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    for _ in 0..30 {
        let stream = TcpStream::connect(broker.addr).await.unwrap();
        stream.try_write(&requests).unwrap();
        unread.push(stream);
    }
    broker.recovers("unread replies", before).await;
    drop(unread);
}
