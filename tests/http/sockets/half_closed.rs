//! HTTP/1 peers that close their sending side after a request.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::version;
use snowflake_broker::listener::Settings;
use snowflake_broker::matching;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::sockets::{FOREVER, parked, serve, tls, until};
use crate::support::front::Front;
use crate::support::messages::{client_poll, proxy_answer, proxy_poll};

/// Longer than it takes to park a connection.
const PARKED: Duration = Duration::from_millis(500);

/// No client waits for a proxy, and polls are parked for longer than a test takes.
fn impatient() -> matching::Settings {
    matching::Settings {
        client_queue_wait: Duration::ZERO,
        proxy_timeout: 2 * FOREVER,
        ..matching::Settings::default()
    }
}

fn request(line: &str, body: &str) -> String {
    let length = body.len();
    format!("{line}\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Requests that are answered at once, and parts of their replies.
fn requests() -> Vec<(String, &'static str)> {
    let head = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    vec![
        (head("GET /prometheus HTTP/1.1"), "snowflake_proxy_total"),
        (head("GET /debug HTTP/1.0"), "current snowflakes available"),
        (head("HEAD /debug HTTP/1.1"), "200 OK"),
        (head("GET /robots.txt HTTP/1.1"), "Disallow"),
        (head("GET /nowhere HTTP/1.1"), "404 page not found"),
        (head("GET /client HTTP/1.1"), "unsupported message version"),
        (head("OPTIONS /proxy HTTP/1.1"), "200 OK"),
        (head("OPTIONS * HTTP/1.1"), "200 OK"),
        (
            request("POST /prometheus HTTP/1.1", "that nobody reads"),
            "snowflake_proxy_total",
        ),
        (
            request("POST /answer HTTP/1.1", &proxy_answer("nobody", "hi")),
            "client gone",
        ),
        (
            request("POST /client HTTP/1.1", &client_poll("x", "open")),
            "no snowflake proxies",
        ),
        (request("POST /proxy HTTP/1.1", "{}"), "400 Bad Request"),
    ]
}

async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let read = timeout(FOREVER, stream.read_to_end(&mut bytes)).await;
    read.expect("the server did not close").unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn what_waits_for_nobody_is_answered() {
    let front = Front::new(impatient());
    let addr = serve(&front, Settings::default(), None).await;
    for (request, expected) in requests() {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let reply = read_to_end(&mut stream).await;
        assert!(reply.contains(expected), "{request}: {reply}");
    }
}

#[tokio::test]
async fn what_waits_for_nobody_is_answered_over_tls() {
    let front = tls::front_with(impatient()).await;
    for version in [&version::TLS12, &version::TLS13] {
        for says_so in [true, false] {
            for (request, expected) in requests() {
                let mut stream = tls::connect(&front, version, b"http/1.1", true).await;
                stream.write_all(request.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
                if says_so {
                    stream.shutdown().await.unwrap();
                } else {
                    // Below TLS, without a notification.
                    stream.get_mut().0.shutdown().await.unwrap();
                }
                let reply = read_to_end(&mut stream).await;
                assert!(reply.contains(expected), "{says_so}, {request}: {reply}");
            }
        }
    }
}

/// The whole response arrives, even if writing it takes longer than noticing that the
/// peer has closed its sending side.
#[tokio::test]
async fn a_long_response_is_written_to_its_end() {
    let front = Front::new(impatient());
    let operators = front.endpoints.for_operators();
    let addr = crate::support::serve::serve(operators, Settings::default(), None).await;
    let mut stream = slow_reader(addr).await;
    let request = "GET /prometheus HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    sleep(PARKED).await;
    let reply = read_to_end(&mut stream).await;
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let length = head.to_lowercase();
    let (_, length) = length.split_once("content-length: ").unwrap();
    let length: usize = length.lines().next().unwrap().parse().unwrap();
    assert!(length > 100_000 && body.len() == length, "{length}");
}

/// A slow reader, with a small buffer in the kernel.
async fn slow_reader(addr: SocketAddr) -> TcpStream {
    // Connections made before the server accepts have larger buffers.
    sleep(Duration::from_millis(10)).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(addr).await.unwrap()
}

/// With other methods, polls once could not be parked.
#[tokio::test]
async fn whoever_closes_while_its_poll_is_parked_is_gone() {
    let front = Front::new(impatient());
    let addr = serve(&front, Settings::default(), None).await;
    let methods = ["POST", "PUT", "HEAD", "GET", "CONNECT", "POLL"];
    for version in ["1.1", "1.0"] {
        for method in methods {
            let line = format!("{method} /proxy HTTP/{version}");
            let mut stream = TcpStream::connect(addr).await.unwrap();
            let poll = request(&line, &proxy_poll("a", "open"));
            stream.write_all(poll.as_bytes()).await.unwrap();
            until(|| parked(&front) == 1).await;
            stream.shutdown().await.unwrap();
            until(|| parked(&front) == 0).await;
            assert_eq!(read_to_end(&mut stream).await, "", "{line}");
        }
    }
    let polls = "snowflake_broker_proxy_polls_total";
    let gone = front.count(polls, &[r#"outcome="abandoned""#]);
    assert_eq!(gone, 2 * methods.len() as u64);
}

#[tokio::test]
async fn whoever_closes_over_tls_while_its_poll_is_parked_is_gone() {
    let tls = tls::front_with(impatient()).await;
    for says_so in [true, false] {
        let mut stream = tls::connect(&tls, &version::TLS13, b"http/1.1", true).await;
        let poll = request("POST /proxy HTTP/1.1", &proxy_poll("a", "open"));
        stream.write_all(poll.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        until(|| parked(&tls.front) == 1).await;
        if says_so {
            stream.shutdown().await.unwrap();
        } else {
            stream.get_mut().0.shutdown().await.unwrap();
        }
        until(|| parked(&tls.front) == 0).await;
    }
    let polls = "snowflake_broker_proxy_polls_total";
    let gone = tls.front.count(polls, &[r#"outcome="abandoned""#]);
    assert_eq!(gone, 2);
}
