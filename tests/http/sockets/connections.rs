//! Connections that close or stall.

use std::net::SocketAddr;
use std::time::Duration;

use snowflake_broker::listener::Settings;
use snowflake_broker::matching;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::sockets::{FOREVER, parked, serve, until};
use crate::support::front::Front;
use crate::support::messages::{answer, client_poll, proxy_answer, proxy_poll};
use crate::support::peer::Peer;

async fn front() -> (Front, SocketAddr) {
    let front = Front::new(matching::Settings::default());
    let addr = serve(&front, Settings::default(), None).await;
    (front, addr)
}

async fn send(addr: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

fn raw_post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn read_to_end(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(FOREVER, stream.read_to_end(&mut bytes)).await;
    read.expect("the server did not close").unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_poll_whose_connection_closes_leaves_its_pool() {
    let (front, addr) = front().await;
    let stream = send(addr, &raw_post("/proxy", &proxy_poll("a", "open"))).await;
    until(|| parked(&front) == 1).await;
    drop(stream);
    until(|| parked(&front) == 0).await;
    assert_eq!(
        front.count(
            "snowflake_broker_proxy_polls_total",
            &[r#"outcome="abandoned""#]
        ),
        1
    );
}

#[tokio::test]
async fn a_poll_whose_http2_stream_is_reset_leaves_its_pool() {
    let (front, addr) = front().await;
    let mut peer = Peer::http2(addr).await;
    let poll = tokio::spawn(async move {
        peer.post("/proxy", proxy_poll("a", "open")).await;
    });
    until(|| parked(&front) == 1).await;
    poll.abort();
    until(|| parked(&front) == 0).await;
}

#[tokio::test]
async fn a_client_whose_connection_closes_frees_its_match() {
    let (front, addr) = front().await;
    let mut proxy = Peer::http1(addr).await;
    let (polled, client) = tokio::join!(proxy.post("/proxy", proxy_poll("a", "open")), async {
        until(|| parked(&front) == 1).await;
        send(addr, &raw_post("/client", &client_poll("x", "open"))).await
    });
    assert!(polled.1.contains("client match"));
    drop(client);
    until(|| front.broker.control().snapshot().matched_clients == 0).await;
    let (_, status) = proxy.post("/answer", proxy_answer("a", "hi")).await;
    assert_eq!(status, r#"{"Status":"client gone"}"#);
}

#[tokio::test]
async fn one_connection_carries_a_whole_rendezvous_in_http2() {
    let (_front, addr) = front().await;
    let (mut proxy, mut client) = (Peer::http2(addr).await, Peer::http2(addr).await);
    let rendezvous = async {
        let (_, poll) = proxy.post("/proxy", proxy_poll("a", "open")).await;
        assert!(poll.contains("client match"), "{poll}");
        proxy.post("/answer", proxy_answer("a", "hi")).await
    };
    let (delivered, (_, answered)) =
        tokio::join!(rendezvous, client.post("/client", client_poll("x", "open")));
    assert_eq!(delivered.1, r#"{"Status":"success"}"#);
    let answered: serde_json::Value = serde_json::from_str(&answered).unwrap();
    assert_eq!(answered["answer"], answer("hi"));
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let (_front, addr) = front().await;
    let mut peer = Peer::http1(addr).await;
    for _ in 0..3 {
        let (status, _) = peer.post("/answer", proxy_answer("nobody", "hi")).await;
        assert_eq!(status, 200);
    }
}

#[tokio::test]
async fn a_long_path_is_read_in_both_protocols() {
    let (_front, addr) = front().await;
    // A client's poll in the path, far longer than any real one.
    let path = format!("/amp/client/0/{}", "a".repeat(50_000));
    for mut peer in [Peer::http1(addr).await, Peer::http2(addr).await] {
        let (status, _) = peer.post(&path, String::new()).await;
        assert_eq!(status, 200);
    }
}

#[tokio::test]
async fn a_request_without_a_host_is_served() {
    let (_front, addr) = front().await;
    let request = b"GET /robots.txt HTTP/1.1\r\nConnection: close\r\n\r\n";
    let reply = read_to_end(send(addr, request).await).await;
    assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
    let reply = read_to_end(send(addr, b"GET /robots.txt HTTP/1.0\r\n\r\n").await).await;
    assert!(reply.ends_with("Disallow: /\n"), "{reply}");
}

/// Until the first bytes are there, it could be any version.
#[tokio::test]
async fn each_version_is_told_though_it_comes_byte_by_byte() {
    const EMPTY_SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let (_front, addr) = front().await;
    let http1 = raw_post("/answer", &proxy_answer("nobody", "hi"));
    let http2 = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &EMPTY_SETTINGS[..]].concat();
    let almost = b"PRI * HTTP/1.1\r\n\r\n".to_vec();
    for (bytes, begin) in [
        (http1, &b"HTTP/1.1 200 OK"[..]),
        (almost, b"HTTP/1.1 404 Not Found"),
        // The frame has the length of the server's settings.
        (http2, &[0, 0]),
    ] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in bytes {
            stream.write_u8(byte).await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
        let mut reply = vec![0; begin.len()];
        let read = timeout(FOREVER, stream.read_exact(&mut reply)).await;
        read.expect("nothing comes").unwrap();
        assert_eq!(reply, begin);
    }
}

#[tokio::test]
async fn peers_that_stall_before_their_request_is_whole_are_dropped() {
    let front = Front::new(matching::Settings::default());
    let settings = Settings {
        header_read_timeout: Duration::from_millis(100),
        ..Settings::default()
    };
    let addr = serve(&front, settings, None).await;
    for bytes in [
        "",
        "P",
        "PRI * HTTP/2.0\r\n",
        "GET / HT",
        "POST /client HTTP/1.1\r\nA: b\r\n",
    ] {
        let reply = read_to_end(send(addr, bytes.as_bytes()).await).await;
        assert!(!reply.contains("200 OK"), "{bytes:?}: {reply}");
    }
}

#[tokio::test]
async fn an_idle_connection_outlasts_the_time_for_heads_and_then_is_closed() {
    let front = Front::new(matching::Settings::default());
    let settings = Settings {
        header_read_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_secs(1),
        ..Settings::default()
    };
    let addr = serve(&front, settings, None).await;
    for is_http2 in [false, true] {
        let mut peer = if is_http2 {
            Peer::http2(addr).await
        } else {
            Peer::http1(addr).await
        };
        for _ in 0..2 {
            let (status, _) = peer.post("/answer", proxy_answer("nobody", "hi")).await;
            assert_eq!(status, 200);
            sleep(Duration::from_millis(200)).await;
        }
        timeout(FOREVER, closed(&mut peer))
            .await
            .expect("it is kept for ever");
    }
}

/// Waits until the server has closed the connection.
async fn closed(peer: &mut Peer) {
    loop {
        let ready = match peer {
            Peer::Http1(sender) => sender.ready().await,
            Peer::Http2(sender) => sender.ready().await,
        };
        if ready.is_err() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_peer_that_stalls_in_its_second_head_is_dropped() {
    let front = Front::new(matching::Settings::default());
    let settings = Settings {
        header_read_timeout: Duration::from_millis(100),
        idle_timeout: FOREVER * 2,
        ..Settings::default()
    };
    let addr = serve(&front, settings, None).await;
    let mut stream = send(addr, b"GET /robots.txt HTTP/1.1\r\n\r\n").await;
    let mut first = [0; 16];
    stream.read_exact(&mut first).await.unwrap();
    stream.write_all(b"GET / HT").await.unwrap();
    let rest = read_to_end(stream).await;
    assert!(rest.ends_with("Disallow: /\n"), "{rest}");
}

#[tokio::test]
async fn a_parked_poll_outlasts_the_time_for_heads() {
    let front = Front::new(matching::Settings {
        proxy_timeout: Duration::from_millis(500),
        ..matching::Settings::default()
    });
    let settings = Settings {
        header_read_timeout: Duration::from_millis(50),
        ..Settings::default()
    };
    let addr = serve(&front, settings, None).await;
    let mut peer = Peer::http1(addr).await;
    let (_, reply) = peer.post("/proxy", proxy_poll("a", "open")).await;
    assert!(reply.contains("no match"), "{reply}");
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing_behind() {
    let (front, addr) = front().await;
    let whole = raw_post("/client", &client_poll("x", "open"));
    for length in 0..whole.len() {
        drop(send(addr, &whole[..length]).await);
    }
    let mut peer = Peer::http1(addr).await;
    let (_, reply) = peer.post("/answer", proxy_answer("nobody", "hi")).await;
    assert_eq!(reply, r#"{"Status":"client gone"}"#);
    assert_eq!(front.count("snowflake_broker_clients_queued_total", &[]), 0);
}
