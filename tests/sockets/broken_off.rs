//! Bodies that end before their end, over real connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use snowflake_broker::broker::limits;
use snowflake_broker::geoip::GeoIp;
use snowflake_broker::listener::Settings;
use snowflake_broker::listener::accounts::{Accounts, Bounds};
use snowflake_broker::{http as front, matching};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::front::Front;
use crate::messages::client_poll;
use crate::serve::serve_in;
use crate::{serve, until};

const BURST: u32 = 25;
const SLOW_DOWN: &str = "too many requests, slow down";

/// A reverse proxy on this machine names this address.
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

    let sender = connect(addr).await;
    let (_, mut body) = begin(&sender, &[]).await;
    body.send_data(Bytes::from_static(b"1.0"), false).unwrap();
    body.send_reset(h2::Reason::CANCEL);
    until(|| refusals(&front, "cut_off") == 3).await;
    assert_eq!(refusals(&front, "bad_request"), 1);
}

async fn connect(addr: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Begins a client's poll, with these fields.
async fn begin(
    sender: &SendRequest<Bytes>,
    fields: &[(&str, &str)],
) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let mut sender = sender.clone().ready().await.unwrap();
    let mut request = Request::post("http://a.example/client");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    sender
        .send_request(request.body(()).unwrap(), false)
        .unwrap()
}

/// A whole poll of the stranger's.
async fn ask(sender: &SendRequest<Bytes>) -> h2::client::ResponseFuture {
    let (response, mut body) = begin(sender, &[("x-forwarded-for", STRANGER)]).await;
    let poll = client_poll("x", "open");
    body.send_data(poll.into(), true).unwrap();
    response
}

#[tokio::test]
async fn nobody_pays_for_what_a_lack_of_memory_breaks_off() {
    let limits = limits::Settings {
        client_polls_per_minute: 1,
        client_poll_burst: BURST,
        ..limits::Settings::default()
    };
    let matching = matching::Settings {
        client_queue_wait: Duration::from_millis(300),
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

    let sender = connect(addr).await;
    let received = "snowflake_broker_client_polls_received_total";
    let waiting = [ask(&sender).await, ask(&sender).await];
    until(|| front.count(received, &[]) == 2).await;
    let (_, mut unfinished) = begin(&sender, &[("x-forwarded-for", STRANGER)]).await;
    let begun = Bytes::from_static(b"1.0\n");
    unfinished.send_data(begun, false).unwrap();
    let large = "x".repeat(20_000);
    drop(begin(&sender, &[("cookie", &large)]).await);
    for response in waiting {
        assert!(response.await.is_err());
    }
    until(|| accounts.figures().connections == 0).await;
    until(|| refusals(&front, "overloaded") == 1).await;
    assert_eq!(refusals(&front, "cut_off"), 0);

    // Each of the two has paid one.
    let sender = connect(addr).await;
    let mut left = 0;
    loop {
        let mut body = ask(&sender).await.await.unwrap().into_body();
        let reply = body.data().await.unwrap().unwrap();
        if String::from_utf8_lossy(&reply).contains(SLOW_DOWN) {
            break;
        }
        left += 1;
    }
    assert_eq!(left, BURST - 2);
}
