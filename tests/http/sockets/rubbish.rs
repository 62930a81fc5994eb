//! Ten thousand malformed requests: none hangs, none gets a 5xx, and the broker keeps
//! serving.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use snowflake_broker::listener::Settings;
use snowflake_broker::matching;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::sockets::{FOREVER, serve};
use crate::support::front::Front;
use crate::support::messages::{client_poll, proxy_answer, proxy_poll};
use crate::support::peer::Peer;

const REQUESTS: usize = 10_000;
const AT_ONCE: usize = 100;

/// A change of some bytes.
#[derive(Clone, Debug)]
enum Damage {
    Cut(Index),
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Repeat(Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let snippets = select(vec![
        &b"\0"[..],
        b"\r\n",
        b"\r\n\r\n",
        b"{",
        b"[[[[",
        b"\"",
        b"\\u",
        b"\\ud800",
        b"null",
        b"-1",
        b"1e999",
        b"\xff\xfe",
        b"%",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: -1\r\n",
        b"Expect: 100-continue\r\n",
        b"Upgrade: h2c\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]);
    prop_oneof![
        any::<Index>().prop_map(Damage::Cut),
        any::<(Index, u8)>().prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<Index>(), snippets).prop_map(|(at, bytes)| Damage::Insert(at, bytes.to_vec())),
        any::<(Index, Index)>().prop_map(|(from, to)| Damage::Repeat(from, to)),
    ]
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let at = |index: &Index, bytes: &[u8]| index.index(bytes.len() + 1);
        match self {
            Self::Cut(index) => bytes.truncate(at(index, bytes)),
            Self::Set(index, byte) => {
                let at = at(index, bytes);
                if let Some(old) = bytes.get_mut(at) {
                    *old = *byte;
                }
            }
            Self::Insert(index, new) => {
                let at = at(index, bytes);
                bytes.splice(at..at, new.iter().copied());
            }
            Self::Repeat(from, to) => {
                let (from, to) = (at(from, bytes), at(to, bytes));
                bytes.extend_from_within(from.min(to)..from.max(to));
            }
        }
    }
}

/// A complete request, before it is damaged.
fn request() -> impl Strategy<Value = (String, String)> {
    let body = prop_oneof![
        Just(client_poll("x", "open")),
        // The legacy form, which has its own status codes for a valid offer.
        Just(r#"{"type":"offer","sdp":1}"#.to_owned()),
        Just(proxy_poll("a", "open")),
        Just(proxy_answer("a", "hi")),
        Just(String::new()),
    ];
    let target = select(vec![
        "POST /client",
        "POST /proxy",
        "POST /answer",
        "GET /amp/client/0/MS4wCnt9",
        "GET /debug",
        "OPTIONS *",
        "CONNECT a:1",
        "GET http://a/client",
        "HEAD /proxy",
        "PUT /metrics",
        "GET /prometheus",
        "\u{fc} /client",
    ]);
    (target, body).prop_map(|(target, body)| {
        let length = body.len();
        (
            format!("{target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"),
            body,
        )
    })
}

/// Half of the requests are damaged anywhere, half only in the body, under a head with
/// the new length.
fn malformed() -> impl Strategy<Value = Vec<u8>> {
    let damages = prop::collection::vec(damage(), 1..4);
    (request(), damages, any::<bool>()).prop_map(|((head, body), damages, only_body)| {
        let mut bytes = body.clone().into_bytes();
        if !only_body {
            bytes.splice(0..0, head.bytes());
        }
        for damage in &damages {
            damage.apply(&mut bytes);
        }
        if only_body {
            let length = format!("Content-Length: {}", bytes.len());
            let head = head.replace(&format!("Content-Length: {}", body.len()), &length);
            bytes.splice(0..0, head.bytes());
        }
        bytes
    })
}

/// Sends the bytes and reads until the server closes, which may be before everything is
/// sent.
async fn exchange(addr: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let mut reply = Vec::new();
    let exchange = async {
        if stream.write_all(request).await.is_ok() && stream.shutdown().await.is_ok() {
            stream.read_to_end(&mut reply).await.ok();
        }
    };
    timeout(FOREVER, exchange)
        .await
        .unwrap_or_else(|_| panic!("hangs: {}", String::from_utf8_lossy(request)));
    reply
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_malformed_requests_get_no_5xx_and_none_hangs() {
    let short = Duration::from_millis(50);
    let front = Front::new(matching::Settings {
        proxy_timeout: short,
        client_queue_wait: short,
        ..matching::Settings::default()
    });
    let addr = serve(&front, Settings::default(), None).await;
    let mut runner = TestRunner::deterministic();
    let mut running = JoinSet::new();
    for _ in 0..REQUESTS {
        let request = malformed().new_tree(&mut runner).unwrap().current();
        running.spawn(async move {
            let reply = exchange(addr, &request).await;
            let is_5xx = reply.starts_with(b"HTTP/1.1 5") || reply.starts_with(b"HTTP/1.0 5");
            assert!(!is_5xx, "{}", String::from_utf8_lossy(&request));
        });
        if running.len() >= AT_ONCE {
            running.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    let mut peer = Peer::http1(addr).await;
    let (status, _) = peer.post("/answer", proxy_answer("nobody", "hi")).await;
    assert_eq!(status, 200);
    assert_eq!(front.broker.control().snapshot().matched_clients, 0);
}
