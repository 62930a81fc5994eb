//! Bodies that are cut off, over real connections.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use snowflake_broker::broker::limits;
use snowflake_broker::geoip::GeoIp;
use snowflake_broker::listener::Settings;
use snowflake_broker::listener::accounts::{Accounts, Bounds};
use snowflake_broker::{http as front, matching};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::sockets::{serve, until};
use crate::support::front::Front;
use crate::support::messages::client_poll;
use crate::support::serve::serve_in;

const BURST: u32 = 25;
const SLOW_DOWN: &str = "too many requests, slow down";

/// The address named by a reverse proxy on this machine.
const STRANGER: &str = "5.9.0.1";

fn refusals(front: &Front, reason: &str) -> u64 {
    let labels = [
        r#"request="client_poll""#,
        &*format!(r#"reason="{reason}""#),
    ];
    front.count("snowflake_broker_refusals_total", &labels)
}

#[tokio::test]
async fn who_breaks_off_is_told_from_who_is_wrong() {
    let front = Front::new(matching::Settings::default());
    let addr = serve(&front, Settings::default(), None).await;
    let chunked = "POST /client HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let by_length = "POST /client HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n1.0";
    for begun in [by_length.to_owned(), format!("{chunked}5\r\n1.0")] {
        let before = refusals(&front, "cut_off");
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        until(|| refusals(&front, "cut_off") == before + 1).await;
    }
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let wrong = format!("{chunked}5\r\n1.0\n{{}}\r\n");
    stream.write_all(wrong.as_bytes()).await.unwrap();
    until(|| refusals(&front, "bad_request") == 1).await;

    let stream = TcpStream::connect(addr).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://a.example/client").body(()).unwrap();
    let mut sender = sender.ready().await.unwrap();
    let (_response, mut body) = sender.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"1.0"), false).unwrap();
    body.send_reset(h2::Reason::CANCEL);
    until(|| refusals(&front, "cut_off") == 3).await;
    assert_eq!(refusals(&front, "bad_request"), 1);
}

/// An HTTP/2 frame on this stream.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// The head of the stranger's client poll, with literal fields (RFC 7541, section 6.2.2).
fn head() -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/client"),
        (":authority", "a"),
        ("x-forwarded-for", STRANGER),
    ];
    let field = |(name, value): (&str, &str)| {
        let [name_length, length] = [name, value].map(|text| u8::try_from(text.len()).unwrap());
        [
            &[0, name_length],
            name.as_bytes(),
            &[length],
            value.as_bytes(),
        ]
        .concat()
    };
    fields.map(field).concat()
}

#[tokio::test]
async fn nobody_pays_for_what_a_lack_of_memory_breaks_off() {
    let limits = limits::Settings {
        client_polls_per_minute: 1,
        client_poll_burst: BURST,
        ..limits::Settings::default()
    };
    let matching = matching::Settings {
        client_queue_wait: Duration::from_secs(5),
        ..matching::Settings::default()
    };
    let (http, geoip) = (front::Settings::default(), GeoIp::default());
    let front = Front::limited(matching, http, geoip, None, limits);
    // A connection has room for little more than its first 8 KiB.
    let accounts = Accounts::new(Bounds {
        bytes: 16 * 5_000,
        ..Bounds::default()
    });
    let (endpoints, settings) = (front.endpoints.clone(), Settings::default());
    let addr = serve_in(Arc::clone(&accounts), endpoints, settings, None).await;

    let poll = client_poll("x", "open");
    let whole = |stream| {
        [
            frame(1, 4, stream, &head()),
            frame(0, 1, stream, poll.as_bytes()),
        ]
    };
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let unfinished = [frame(1, 4, 5, &head()), frame(0, 0, 5, b"1.0\n")];
    let begun = [
        vec![preface, frame(4, 0, 0, &[])],
        whole(1).into(),
        whole(3).into(),
        unfinished.into(),
    ];
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&begun.concat().concat()).await.unwrap();
    let received = "snowflake_broker_client_polls_received_total";
    until(|| front.count(received, &[]) == 2).await;
    // A head without an end.
    let _ = stream.write_all(&frame(1, 0, 7, &[0x82; 16_000])).await;
    until(|| accounts.figures().connections == 0).await;
    until(|| refusals(&front, "overloaded") == 1).await;
    assert_eq!(refusals(&front, "cut_off"), 0);

    // Each of the two has paid one. The third counts as received, too.
    let (mut left, mut waiting) = (0, Vec::new());
    loop {
        let request = format!(
            "POST /client HTTP/1.0\r\nX-Forwarded-For: {STRANGER}\r\nContent-Length: {}\r\n\r\n{poll}",
            poll.len()
        );
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        if left == BURST - 2 {
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await.unwrap();
            assert!(reply.contains(SLOW_DOWN), "{reply}");
            assert_eq!(refusals(&front, "limit"), 1);
            return;
        }
        left += 1;
        until(|| front.count(received, &[]) == u64::from(3 + left)).await;
        // It waits in vain for a proxy.
        waiting.push(stream);
    }
}
