//! Connections that do not speak TLS, or speak it badly.

use std::net::SocketAddr;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

use crate::faults::broker::Setup;
use crate::faults::stranger::{connect, read_to_end};

const CONNECTIONS: usize = 10_000;
const AT_ONCE: usize = 200;

/// The head of a record with a hello that claims to be long (RFC 8446, sections 4 and
/// 5.1).
pub(crate) const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..600);
    prop_oneof![
        bytes(),
        bytes().prop_map(|rest| [HELLO, &rest].concat()),
        bytes().prop_map(|rest| [&b"\x16\x03\x03\xff\xff"[..], &rest].concat()),
        bytes().prop_map(|rest| [&b"\x17\x03\x03\x00\x20"[..], &rest].concat()),
        Just(b"POST /client HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        Just(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
    ]
}

/// The peer's action after sending its bytes.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Resets the connection.
    Reset,
    /// Closes it.
    Close,
    /// Closes its side, and waits for the broker to close.
    Wait,
}

async fn peer(addr: SocketAddr, bytes: Vec<u8>, end: End) {
    let mut stream = connect(addr, &bytes).await;
    match end {
        End::Reset => stream.set_zero_linger().unwrap(),
        End::Close => {}
        End::Wait => {
            stream.shutdown().await.ok();
            read_to_end(&mut stream).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_connections_with_garbage() {
    let broker = Setup::new().over_tls().start().await;
    let before = broker.at_rest().await;
    let mut runner = TestRunner::deterministic();
    let mut peers = JoinSet::new();
    for number in 0..CONNECTIONS {
        let bytes = garbage().new_tree(&mut runner).unwrap().current();
        let end = [End::Reset, End::Close, End::Wait][number % 3];
        peers.spawn(peer(broker.addr, bytes, end));
        if peers.len() >= AT_ONCE {
            peers.join_next().await.unwrap().unwrap();
        }
        if number == CONNECTIONS / 2 {
            broker.rendezvous().await;
        }
    }
    while let Some(done) = peers.join_next().await {
        done.unwrap();
    }
    broker.recovers("garbage instead of TLS", before).await;
    let failures = broker
        .metrics()
        .await
        .sum("snowflake_broker_tls_handshake_failures_total", &[]);
    assert!(failures > 9_000, "{failures}");
}
