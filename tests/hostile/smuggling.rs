//! Requests in requests: a broker that read the inner one would be of use for smuggling.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::broker::{Broker, Setup};
use crate::frames::{DATA, END_STREAM, frame, headers, hello, request};
use crate::report::Row;
use crate::requests_in_requests::{INNER, SMUGGLED, ambiguous};
use crate::stranger::connect;

/// Reads each reply until the broker closes, or until nothing comes for a second.
pub(crate) async fn in_http1() -> Row {
    let attack = async |_: &_| {
        // If the first request is valid, the second is read too.
        let both = format!("POST /answer HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n{INNER}");
        let replies = said(&mut connect(both.as_bytes()).await).await;
        assert!(replies.contains(SMUGGLED), "{replies}");

        let shapes = ambiguous("/answer");
        let mut wrong = Vec::new();
        for shape in &shapes {
            let mut stream = connect(shape.as_bytes()).await;
            let reply = said(&mut stream).await;
            if reply.contains(SMUGGLED) || reply.matches("HTTP/1.").count() > 1 {
                wrong.push((shape, reply));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        format!("{} shapes, no second request read", shapes.len())
    };
    Setup::new().start().await.withstands(attack).await
}

async fn said(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    timeout(Duration::from_millis(300), stream.read_to_end(&mut said))
        .await
        .ok();
    String::from_utf8_lossy(&said).into_owned()
}

/// Fields that a front would write out as HTTP/1, and wrong lengths.
pub(crate) async fn in_http2() -> Row {
    let attack = async |broker: &Broker| {
        let answers = || broker.count("proxy_answers_total", &[("outcome", "unknown")]);
        let before = answers().await;
        let inner = format!("\r\n\r\n{INNER}");
        let with = |name: &'static str, value: &'static str| {
            [&request("POST", "/answer")[..], &[(name, value)]].concat()
        };
        let heads = [
            with("transfer-encoding", "chunked"),
            with("connection", "transfer-encoding"),
            with("content-length", "0"),
            with("content-length", "100"),
            with("content-length", "-1"),
            with("x: a\r\nb", "c"),
            with("x", "a\r\nb: c"),
            with("x", "a\nb"),
            with("x", "a\0"),
            with("X", "a"),
            with(":path", "/robots.txt"),
            with(":x", "a"),
            request("POST", &inner).to_vec(),
            request("POST", "/answer HTTP/1.1\r\nx: ").to_vec(),
            request("POST /answer HTTP/1.1\r\n", "/").to_vec(),
            with(":authority", "a").split_off(1),
        ];
        for head in &heads {
            let body = crate::support::messages::proxy_answer("nobody", "hi");
            let bytes = [
                hello(),
                headers(1, 0, head),
                frame(DATA, END_STREAM, 1, body.as_bytes()),
            ];
            let mut stream = connect(&bytes.concat()).await;
            let reply = said(&mut stream).await;
            assert!(!reply.contains("client gone"), "{head:?}");
        }
        assert_eq!(answers().await, before);
        format!("{} shapes, none served", heads.len())
    };
    Setup::new().start().await.withstands(attack).await
}

/// Requests that do not wait for earlier responses.
pub(crate) async fn pipelining() -> Row {
    const REQUESTS: usize = 20_000;
    let attack = async |_: &_| {
        let (mut reader, mut writer) = connect(b"").await.into_split();
        let requests = async move {
            let requests = "GET /robots.txt HTTP/1.1\r\nHost: a\r\n\r\n".repeat(REQUESTS - 1);
            let last = "GET /robots.txt HTTP/1.0\r\n\r\n";
            writer.write_all(requests.as_bytes()).await.unwrap();
            writer.write_all(last.as_bytes()).await.unwrap();
            writer
        };
        let replies = crate::stranger::read_to_end(&mut reader);
        let (_writer, replies) = tokio::join!(requests, replies);
        assert_eq!(replies.matches(" 200 OK").count(), REQUESTS);
        format!("{REQUESTS} requests at once, each answered in its turn")
    };
    Setup::new().start().await.withstands(attack).await
}
