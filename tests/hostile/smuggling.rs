//! Requests that two parsers may read in two ways. If a front took the broker's second
//! request for part of the first, it would give one client's response to another's
//! connection.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::broker::{Broker, Setup};
use crate::frames::{DATA, END_STREAM, frame, headers, hello, request};
use crate::report::Row;
use crate::stranger::connect;

/// The request to be smuggled, which nothing else sends.
const INNER: &str = "GET /robots.txt HTTP/1.1\r\nHost: b\r\n\r\n";

/// Text in the response to the smuggled request.
const SMUGGLED: &str = "Disallow";

/// Heads and bodies around it. None is a request that all parsers read alike, so none may
/// be followed by another.
fn shapes() -> Vec<String> {
    let length = INNER.len();
    let post = |head: &str, body: &str| {
        format!("POST /answer HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n{body}")
    };
    let chunked = format!("0\r\n\r\n{INNER}");
    let total = chunked.len();
    let in_chunk = format!("{length:x}\r\n{INNER}\r\n0\r\n\r\n");
    let lengths = [
        format!("Content-Length: 0\r\nContent-Length: {length}"),
        format!("Content-Length: {length}\r\nContent-Length: 0"),
        format!("Content-Length: 0, {length}"),
        "Content-Length: +0".to_owned(),
        "Content-Length: -0".to_owned(),
        "Content-Length: 0x0".to_owned(),
        "Content-Length: 0 0".to_owned(),
        "Content-Length: ".to_owned(),
        "Content-Length: 99999999999999999999".to_owned(),
        "Content-Length : 0".to_owned(),
        "Content-Length\t: 0".to_owned(),
        "\tContent-Length: 0".to_owned(),
        format!("X: a\r\n Content-Length: {length}"),
        format!("X: a\rContent-Length: {length}"),
        format!("X: a\0\r\nContent-Length: {length}"),
        format!("Content\0-Length: {length}"),
        format!("Content-Length: {length}\x0b"),
    ];
    let encodings = [
        format!("Content-Length: {total}\r\nTransfer-Encoding: chunked"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {total}"),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding: chunked, identity".to_owned(),
        "Transfer-Encoding: identity".to_owned(),
        "Transfer-Encoding : chunked".to_owned(),
        "Transfer-Encoding:\x0bchunked".to_owned(),
        " Transfer-Encoding: chunked".to_owned(),
        "X: a\r\n Transfer-Encoding: chunked".to_owned(),
        format!("X: a\nTransfer-Encoding: chunked\r\nContent-Length: {total}"),
        format!("X: a\nContent-Length: 0\r\nContent-Length: {total}"),
        "X: a\rTransfer-Encoding: chunked".to_owned(),
        "Transfer-Encoding\0: chunked".to_owned(),
        "Transfer-Encoding: \"chunked\"".to_owned(),
        "Transfer-Encoding: chunked;a=b".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(),
    ];
    let chunk_sizes = [
        "-0",
        "0x0",
        "+0",
        "g",
        "",
        "10000000000000000",
        "0;\r",
        "0;\n",
    ];
    let mut shapes: Vec<String> = lengths.iter().map(|head| post(head, INNER)).collect();
    shapes.extend(encodings.iter().map(|head| post(head, &chunked)));
    // A parser that uses the length sees no request here, one that uses chunks does.
    shapes.push(post(
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        &in_chunk,
    ));
    let with_size = |size: &&str| {
        post(
            "Transfer-Encoding: chunked",
            &format!("{size}\r\n\r\n{INNER}"),
        )
    };
    shapes.extend(chunk_sizes.iter().map(with_size));
    // A chunk longer than its size says.
    let overlong = format!("1\r\naa\r\n{chunked}");
    shapes.push(post("Transfer-Encoding: chunked", &overlong));
    let old = format!("POST /answer HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}");
    shapes.push(old);
    shapes
}

/// Reads each reply until the broker closes, or until nothing comes for a second.
pub(crate) async fn in_http1() -> Row {
    let attack = async |_: &_| {
        // If the first request is valid, the second is read too.
        let both = format!("POST /answer HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n{INNER}");
        let replies = said(&mut connect(both.as_bytes()).await).await;
        assert!(replies.contains(SMUGGLED), "{replies}");

        let shapes = shapes();
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
