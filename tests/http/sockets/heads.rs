//! Large and incomplete heads of requests, and connections that take the places of
//! others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use snowflake_broker::listener::Settings;
use snowflake_broker::listener::accounts::{Accounts, Bounds};
use snowflake_broker::matching;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::sockets::{FOREVER, serve, until};
use crate::support::front::Front;
use crate::support::messages::proxy_answer;
use crate::support::peer::Peer;
use crate::support::serve::serve_in;

async fn status_of_get(addr: SocketAddr, path: &str, fields: &[(String, String)]) -> StatusCode {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let uri = format!("http://a.example{path}");
    let mut request = http::Request::get(uri).body(()).unwrap();
    for (name, value) in fields {
        let name = HeaderName::try_from(name.as_str()).unwrap();
        let value = HeaderValue::try_from(value.as_str()).unwrap();
        request.headers_mut().append(name, value);
    }
    let (response, _) = sender.send_request(request, true).unwrap();
    response.await.unwrap().status()
}

fn fields(count: usize, length: usize) -> Vec<(String, String)> {
    let field = |_| ("a".to_owned(), "x".repeat(length));
    (0..count).map(field).collect()
}

#[tokio::test]
async fn http2_heads_are_bounded_in_fields_and_bytes() {
    let front = Front::new(matching::Settings::default());
    let addr = serve(&front, Settings::default(), None).await;
    let too_large = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    let path_of = |length| format!("/client?{}", "x".repeat(length));
    let poll_of = |length| format!("/amp/client/0/{}", "x".repeat(length));
    for (path, fields, status) in [
        ("/client".to_owned(), fields(100, 1), StatusCode::OK),
        ("/client".to_owned(), fields(101, 1), too_large),
        ("/client".to_owned(), fields(1_500, 1), too_large),
        ("/client".to_owned(), fields(2, 8_000), StatusCode::OK),
        ("/client".to_owned(), fields(3, 8_000), too_large),
        (path_of(16_000), fields(1, 1), StatusCode::OK),
        (path_of(17_000), fields(1, 1), too_large),
        (poll_of(30_000), fields(1, 1), StatusCode::OK),
        (poll_of(10), fields(101, 1), too_large),
        (poll_of(10), fields(3, 8_000), too_large),
    ] {
        let got = status_of_get(addr, &path, &fields).await;
        assert_eq!(got, status, "{} bytes, {} fields", path.len(), fields.len());
    }
}

#[tokio::test]
async fn heads_in_the_making_have_the_share_of_an_address() {
    let front = Front::new(matching::Settings::default());
    let share = 200_000;
    let accounts = Accounts::new(Bounds {
        bytes: 16 * share,
        ..Bounds::default()
    });
    let endpoints = front.endpoints.clone();
    let addr = serve_in(Arc::clone(&accounts), endpoints, Settings::default(), None).await;
    let head = format!("GET /{} HTTP/1.1\r\na: ", "x".repeat(60_000));
    let mut streams = Vec::new();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        // A connection that has been closed does not take everything.
        let _ = stream.write_all(head.as_bytes()).await;
        streams.push(stream);
    }
    until(|| (1..=4).contains(&accounts.figures().connections)).await;
    assert!(accounts.figures().bytes <= share);
    // Other peers do not notice, and the released memory is free again.
    drop(streams);
    until(|| accounts.figures().connections == 0).await;
    assert_eq!(accounts.figures().bytes, 0);
    let mut peer = Peer::http1(addr).await;
    peer.post("/answer", proxy_answer("a", "hi")).await;
}

#[tokio::test]
async fn http2_heads_in_the_making_count() {
    let front = Front::new(matching::Settings::default());
    let accounts = Accounts::new(Bounds::default());
    let endpoints = front.endpoints.clone();
    let addr = serve_in(Arc::clone(&accounts), endpoints, Settings::default(), None).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    stream.write_all(preface).await.unwrap();
    // HEADERS without an end, and one literal that continues in CONTINUATION frames.
    let frame = |kind: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 1], payload].concat()
    };
    let begin = [&b"\x00\x01a\x7f\xff\xff\x03"[..], &[b'x'; 16_000]].concat();
    stream.write_all(&frame(1, &begin)).await.unwrap();
    stream.write_all(&frame(9, &[b'x'; 16_000])).await.unwrap();
    until(|| accounts.figures().bytes > 20_000).await;
    drop(stream);
    until(|| accounts.figures().connections == 0).await;
    assert_eq!(accounts.figures().bytes, 0);
}

/// All data after the last head once counted as one head.
#[tokio::test]
async fn http2_frames_that_are_no_head_do_not_count() {
    let front = Front::new(matching::Settings::default());
    let accounts = Accounts::new(Bounds::default());
    let endpoints = front.endpoints.clone();
    let addr = serve_in(Arc::clone(&accounts), endpoints, Settings::default(), None).await;
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let window_update = b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01".repeat(2_000);
    let ping = b"\0\0\x08\x06\0\0\0\0\0the last";
    let all = [preface, &window_update[..], ping].concat();
    stream.write_all(&all).await.unwrap();
    let mut said = Vec::new();
    let answered = async {
        while !said.ends_with(b"the last") {
            said.push(stream.read_u8().await.unwrap());
        }
    };
    timeout(FOREVER, answered)
        .await
        .expect("it does not answer");
    assert_eq!(accounts.figures().bytes, 0);
    assert_eq!(accounts.figures().connections, 1);
}

/// A front with room for 20 connections.
async fn house_of_20() -> (Front, SocketAddr) {
    let front = Front::new(matching::Settings::default());
    let settings = Settings {
        max_connections: 20,
        ..Settings::default()
    };
    let addr = serve(&front, settings, None).await;
    (front, addr)
}

#[tokio::test]
async fn a_full_house_of_idle_connections_lets_others_in() {
    let (_front, addr) = house_of_20().await;
    let mut idle = Vec::new();
    for _ in 0..60 {
        let mut peer = Peer::http1(addr).await;
        let (status, _) = peer.post("/answer", proxy_answer("a", "hi")).await;
        assert_eq!(status, 200);
        idle.push(peer);
        // The connection that makes room closes.
        sleep(Duration::from_millis(20)).await;
    }
    // The last ones are still open.
    for peer in &mut idle[50..] {
        let (status, _) = peer.post("/answer", proxy_answer("a", "hi")).await;
        assert_eq!(status, 200);
    }
    let Peer::Http1(first) = &mut idle[0] else {
        unreachable!("all peers here speak HTTP/1.1");
    };
    assert!(first.ready().await.is_err(), "nobody made room");
}

/// Connections without any data once could not be closed to make room.
#[tokio::test]
async fn a_full_house_of_silent_connections_lets_others_in() {
    let (_front, addr) = house_of_20().await;
    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(TcpStream::connect(addr).await.unwrap());
        sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..5 {
        let mut peer = Peer::http1(addr).await;
        let (status, _) = peer.post("/answer", proxy_answer("a", "hi")).await;
        assert_eq!(status, 200);
    }
}

/// A client behind an AMP cache cannot be detected as gone by data from its cache, but by
/// its connection.
#[tokio::test]
async fn a_client_by_get_leaves_with_its_connection() {
    let front = Front::new(matching::Settings {
        client_queue_wait: Duration::from_secs(4),
        ..matching::Settings::default()
    });
    let addr = serve(&front, Settings::default(), None).await;
    let poll = crate::support::messages::client_poll("x", "restricted");
    let path = base64_url(poll.as_bytes());
    let request = format!("GET /amp/client/0/{path} HTTP/1.1\r\nHost: a\r\n\r\nsurplus");
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    until(|| {
        front
            .broker
            .control()
            .waiting()
            .queued
            .iter()
            .any(|(_, count)| *count > 0)
    })
    .await;
    sleep(Duration::from_millis(300)).await;
    drop(stream);
    let left = || {
        front
            .broker
            .control()
            .waiting()
            .queued
            .iter()
            .all(|(_, count)| *count == 0)
    };
    let waited = timeout(Duration::from_secs(2), async {
        while !left() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("it waits for nobody");
}

fn base64_url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
