//! HTTP/1 requests whose connection is parked until there is a response.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use snowflake_broker::listener::Settings;
use snowflake_broker::matching;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::sockets::{FOREVER, parked, serve, until};
use crate::support::front::Front;
use crate::support::messages::{answer, client_poll, offer, proxy_answer, proxy_poll};
use crate::support::peer::Peer;

/// Longer than it takes to park a connection.
const PARKED: Duration = Duration::from_millis(500);

/// A front in which polls wait slightly longer than it takes to park them.
async fn front() -> (Front, SocketAddr) {
    let front = Front::new(matching::Settings {
        proxy_timeout: 2 * PARKED,
        ..matching::Settings::default()
    });
    let settings = Settings {
        header_read_timeout: PARKED,
        ..Settings::default()
    };
    let addr = serve(&front, settings, None).await;
    (front, addr)
}

/// A poll with this version and header line.
fn poll(version: &str, header: &str) -> String {
    let body = proxy_poll("a", "open");
    let length = body.len();
    format!("POST /proxy HTTP/{version}\r\n{header}content-length: {length}\r\n\r\n{body}")
}

async fn send(addr: SocketAddr, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let read = timeout(FOREVER, stream.read_to_string(&mut text)).await;
    read.expect("the server did not close").unwrap();
    text
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    let read = timeout(FOREVER, async {
        while !bytes.ends_with(end.as_bytes()) {
            bytes.push(stream.read_u8().await.unwrap());
        }
    });
    read.await.expect("that did not come");
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_whole_rendezvous_in_which_both_are_parked() {
    let (front, addr) = front().await;
    let mut proxy = Peer::http1(addr).await;
    let asked = async {
        until(|| parked(&front) == 1).await;
        sleep(PARKED).await;
        let mut client = Peer::http1(addr).await;
        let (_, asked) = client.post("/client", client_poll("x", "open")).await;
        (client, asked)
    };
    let answered = async {
        let (_, poll) = proxy.post("/proxy", proxy_poll("a", "open")).await;
        let poll: Value = serde_json::from_str(&poll).unwrap();
        assert_eq!(poll["Status"], "client match");
        assert_eq!(poll["Offer"], offer("x"));
        sleep(PARKED).await;
        proxy.post("/answer", proxy_answer("a", "hi")).await
    };
    let ((mut client, asked), (_, answered)) = tokio::join!(asked, answered);
    let asked: Value = serde_json::from_str(&asked).unwrap();
    assert_eq!(asked["answer"], answer("hi"));
    assert_eq!(answered, r#"{"Status":"success"}"#);
    // Each connection can be used again.
    let (status, _) = client.post("/answer", proxy_answer("a", "hi")).await;
    assert_eq!(status, 200);
    let (_, again) = proxy.post("/proxy", proxy_poll("b", "open")).await;
    assert!(again.contains("no match"), "{again}");
}

#[tokio::test]
async fn a_connection_that_was_parked_is_idle_and_not_about_to_send_a_head() {
    let (_front, addr) = front().await;
    let mut peer = Peer::http1(addr).await;
    peer.post("/proxy", proxy_poll("a", "open")).await;
    sleep(2 * PARKED).await;
    let (status, _) = peer.post("/answer", proxy_answer("a", "hi")).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn whoever_wants_to_close_is_closed_after_the_response() {
    let (_front, addr) = front().await;
    for (version, header) in [
        ("1.1", "Connection: close\r\n"),
        ("1.1", "Connection: TE, Close\r\n"),
        ("1.0", ""),
        ("1.0", "Connection: close\r\n"),
    ] {
        let mut stream = send(addr, &poll(version, header)).await;
        let reply = read_to_end(&mut stream).await;
        let status = format!("HTTP/{version} 200 OK\r\n");
        assert!(reply.starts_with(&status), "{reply}");
        assert!(reply.contains("no match"), "{reply}");
    }
}

#[tokio::test]
async fn whoever_wants_to_stay_is_not_closed() {
    let (_front, addr) = front().await;
    for (version, header) in [("1.1", ""), ("1.0", "Connection: keep-alive\r\n")] {
        let mut stream = send(addr, &poll(version, header)).await;
        let reply = read_until(&mut stream, "}").await;
        assert!(reply.contains("no match"), "{reply}");
        stream
            .write_all(b"GET /robots.txt HTTP/1.0\r\n\r\n")
            .await
            .unwrap();
        let reply = read_to_end(&mut stream).await;
        assert!(reply.ends_with("Disallow: /\n"), "{reply}");
    }
}

#[tokio::test]
async fn what_is_sent_before_the_response_is_read_after_it() {
    let (front, addr) = front().await;
    let next = "GET /robots.txt HTTP/1.1\r\nConnection: close\r\n\r\n";
    let poll = poll("1.1", "");
    // Together with the poll, before it is parked, and after that.
    let mut at_once = send(addr, &[&poll, next].concat()).await;
    let reply = read_to_end(&mut at_once).await;
    assert_two_replies(&reply);
    for pause in [Duration::ZERO, PARKED] {
        let mut stream = send(addr, &poll).await;
        until(|| parked(&front) == 1).await;
        sleep(pause).await;
        stream.write_all(next.as_bytes()).await.unwrap();
        let reply = read_to_end(&mut stream).await;
        assert_two_replies(&reply);
    }
}

fn assert_two_replies(reply: &str) {
    let first = reply.find("no match").expect("a reply to the poll");
    assert_eq!(reply.matches("HTTP/1.1 200 OK").count(), 2, "{reply}");
    assert!(reply[first..].ends_with("Disallow: /\n"), "{reply}");
}

#[tokio::test]
async fn a_poll_that_is_parked_leaves_with_its_connection() {
    let (front, addr) = front().await;
    let half_closed = async |mut stream: TcpStream| {
        stream.shutdown().await.unwrap();
        until(|| parked(&front) == 0).await;
        drop(stream);
    };
    let closed = async |stream: TcpStream| {
        drop(stream);
        until(|| parked(&front) == 0).await;
    };
    for is_half in [false, true] {
        let stream = send(addr, &poll("1.1", "")).await;
        until(|| parked(&front) == 1).await;
        sleep(PARKED).await;
        if is_half {
            half_closed(stream).await;
        } else {
            closed(stream).await;
        }
    }
    let left = "snowflake_broker_proxy_polls_total";
    assert_eq!(front.count(left, &[r#"outcome="abandoned""#]), 2);
}

/// The broker once took any data after a poll for a sign of life.
#[tokio::test]
async fn what_is_sent_after_a_poll_does_not_hide_that_its_proxy_has_left() {
    let (front, addr) = front().await;
    let poll = poll("1.1", "");
    for surplus in ["x", "GET /robots.txt HTTP/1.1\r\n\r\n"] {
        for pause in [Duration::ZERO, PARKED] {
            let mut stream = send(addr, &poll).await;
            until(|| parked(&front) == 1).await;
            sleep(pause).await;
            stream.write_all(surplus.as_bytes()).await.unwrap();
            sleep(PARKED / 5).await;
            assert_eq!(parked(&front), 1);
            drop(stream);
            until(|| parked(&front) == 0).await;
        }
    }
    let polls = "snowflake_broker_proxy_polls_total";
    assert_eq!(front.count(polls, &[r#"outcome="abandoned""#]), 4);
}

/// Such data once was kept as long as the poll was parked, charged to no account.
#[tokio::test]
async fn whoever_sends_much_after_a_poll_is_closed() {
    let (front, addr) = front().await;
    // With a buffer that has grown.
    let pad = " ".repeat(95_000);
    let body = format!("{}{pad}", proxy_poll("a", "open"));
    let length = body.len();
    let poll = format!("POST /proxy HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{body}");
    let mut stream = send(addr, &poll).await;
    let _ = stream.write_all(" ".repeat(60_000).as_bytes()).await;
    let reply = timeout(FOREVER, async {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        rest
    });
    let reply = String::from_utf8(reply.await.expect("it is kept")).unwrap();
    // It is closed without a reply, or after one if some data was not read at once.
    assert!(reply.is_empty() || reply.contains("no match"), "{reply}");
    until(|| parked(&front) == 0).await;
}

/// The kernel once kept 64 KiB of such data, charged to no account.
#[tokio::test]
async fn whoever_sends_much_while_its_poll_is_parked_is_closed() {
    let front = Front::new(matching::Settings::default());
    let addr = serve(&front, Settings::default(), None).await;
    let mut stream = send(addr, &poll("1.1", "")).await;
    until(|| parked(&front) == 1).await;
    sleep(PARKED).await;
    for _ in 0..9 {
        let _ = stream.write_all(&[b' '; 1_000]).await;
        sleep(PARKED / 50).await;
    }
    until(|| parked(&front) == 0).await;
    let polls = "snowflake_broker_proxy_polls_total";
    assert_eq!(front.count(polls, &[r#"outcome="abandoned""#]), 1);
}

#[tokio::test]
async fn a_body_that_comes_slowly_is_read_to_its_end() {
    let (_front, addr) = front().await;
    let poll = poll("1.1", "Connection: close\r\n");
    let (early, late) = poll.split_at(poll.len() - 10);
    let mut stream = send(addr, early).await;
    sleep(PARKED).await;
    stream.write_all(late.as_bytes()).await.unwrap();
    let reply = read_to_end(&mut stream).await;
    assert!(reply.contains("no match"), "{reply}");
}
