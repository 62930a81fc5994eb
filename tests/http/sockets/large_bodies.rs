//! Bodies over the limit in each HTTP framing: refused as soon as possible, and before
//! they are requested from the sender.

use std::net::SocketAddr;

use http::header::{CONTENT_LENGTH, EXPECT};
use http::{Request, StatusCode};
use snowflake_broker::listener::Settings;
use snowflake_broker::matching;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::sockets::{FOREVER, serve};
use crate::support::front::Front;
use crate::support::messages::proxy_answer;

const LIMIT: usize = 100_000;
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const REFUSED: &str = "HTTP/1.1 400 Bad Request\r\n";

async fn served() -> SocketAddr {
    let front = Front::new(matching::Settings::default());
    serve(&front, Settings::default(), None).await
}

async fn send(addr: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// All data until the server closes.
async fn rest(mut stream: TcpStream) -> String {
    let mut rest = Vec::new();
    let read = timeout(FOREVER, stream.read_to_end(&mut rest)).await;
    read.expect("the server did not close").unwrap();
    String::from_utf8(rest).unwrap()
}

fn expecting(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn what_is_too_long_is_not_asked_for() {
    let addr = served().await;
    for path in ["/proxy", "/answer", "/client"] {
        for length in [LIMIT + 1, usize::MAX / 2] {
            let stream = send(addr, expecting(path, length).as_bytes()).await;
            let reply = rest(stream).await;
            assert!(reply.starts_with(REFUSED), "{path} {length}: {reply}");
            assert!(reply.contains("\r\nconnection: close\r\n"), "{reply}");
        }
    }
}

#[tokio::test]
async fn a_body_as_long_as_the_limit_is_asked_for() {
    let addr = served().await;
    let mut body = proxy_answer("nobody", "hi");
    body += &" ".repeat(LIMIT - body.len());
    let mut stream = send(addr, expecting("/answer", LIMIT).as_bytes()).await;
    let mut asked = [0; CONTINUE.len()];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(asked, CONTINUE.as_bytes());
    stream.write_all(body.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let reply = rest(stream).await;
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
}

#[tokio::test]
async fn a_chunked_body_is_refused_at_the_byte_that_is_too_much() {
    let addr = served().await;
    let head = "POST /answer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("{LIMIT:x}\r\n{}\r\n", " ".repeat(LIMIT));
    // Neither the second chunk nor the body is complete.
    let stream = send(addr, format!("{head}{chunk}ffff\r\nx").as_bytes()).await;
    let reply = rest(stream).await;
    assert!(reply.starts_with(REFUSED), "{reply}");
}

#[tokio::test]
async fn in_http2_it_is_refused_at_the_head_and_the_connection_serves_on() {
    let addr = served().await;
    let stream = TcpStream::connect(addr).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    for length in [LIMIT + 1, usize::MAX / 2] {
        let request = Request::post("http://cdn.example/answer")
            .header(CONTENT_LENGTH, length)
            .header(EXPECT, "100-continue")
            .body(())
            .unwrap();
        // Neither a body nor its end is sent.
        let (mut response, _body) = client.send_request(request, false).unwrap();
        let response = timeout(FOREVER, &mut response).await.unwrap().unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    }
    let request = Request::post("http://cdn.example/answer").body(()).unwrap();
    let (response, mut body) = client.send_request(request, false).unwrap();
    let answer = proxy_answer("nobody", "hi");
    body.send_data(answer.into(), true).unwrap();
    let response = timeout(FOREVER, response).await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}
