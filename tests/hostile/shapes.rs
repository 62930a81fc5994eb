//! Shapes of attacks on one connection, whoever makes it.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::time::{sleep, timeout};

use crate::frames::{CONTINUATION, HEADERS, block, frame, headers, hello, post, request, reset};
use crate::support::closing::read_to_end;

/// Number of streams opened and reset together.
pub(crate) const STREAMS: u32 = 500;

/// A field without an end, in a head.
pub(crate) const ENDLESS_HEAD: &[u8] = b"POST / HTTP/1.1\r\nx: ";

/// A head that never ends, and one whose body never does.
pub(crate) const SLOW_HEAD: &[u8] = b"POST /proxy HTTP/1.1\r\nHost: a\r\nX-A: ";
pub(crate) const SLOW_BODY: &[u8] =
    b"POST /proxy HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n{";

/// Sends HTTP/2 requests that are cancelled at once, as in CVE-2023-44487, until the broker
/// ends the connection.
pub(crate) async fn open_and_take_back(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    path: &str,
) {
    let mut bytes = hello();
    for stream in (1..2 * STREAMS).step_by(2) {
        bytes.extend(post(stream, path));
        bytes.extend(reset(stream));
    }
    // The connection may end before that.
    stream.write_all(&bytes).await.ok();
    ends(stream).await;
}

/// Sends an HTTP/2 header block that never ends, as in CVE-2024-27316.
pub(crate) async fn never_end_a_head(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let begin = frame(HEADERS, 0, 1, &block(&request("POST", "/client")));
    stream.write_all(&[hello(), begin].concat()).await.ok();
    let more = frame(CONTINUATION, 0, 1, &block(&[("x", &"a".repeat(1_000))]));
    flood(stream, &more.repeat(10)).await;
    ends(stream).await;
}

/// Sends invalid HTTP/2 requests, so that the broker has to reset each stream.
pub(crate) async fn err(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut bytes = hello();
    for stream in (1..6 * STREAMS).step_by(2) {
        bytes.extend(headers(stream, 0, &[("connection", "close")]));
    }
    stream.write_all(&bytes).await.ok();
    ends(stream).await;
}

/// Reads until the broker ends the connection, which it must do.
async fn ends(stream: &mut (impl AsyncRead + Unpin)) {
    let mut frames = [0; 4_096];
    let read = async { while stream.read(&mut frames).await.is_ok_and(|read| read > 0) {} };
    timeout(Duration::from_secs(20), read)
        .await
        .expect("the connection does not end");
}

/// Sends the bytes repeatedly until the broker closes or nothing moves for a while.
/// Returns the number of times that they were sent.
pub(crate) async fn flood(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> usize {
    let mut sent = 0;
    while let Ok(Ok(())) = timeout(Duration::from_secs(1), stream.write_all(bytes)).await {
        sent += 1;
    }
    sent
}

/// Sends a byte now and then until the broker gives up. Returns its reply.
pub(crate) async fn trickle(stream: impl AsyncRead + AsyncWrite, more: &[u8]) -> String {
    let (mut reader, mut writer) = split(stream);
    let trickle = async {
        for byte in more.iter().cycle() {
            sleep(Duration::from_millis(200)).await;
            // After the broker has closed, its reply may still be on the way.
            writer.write_all(&[*byte]).await.ok();
            writer.flush().await.ok();
        }
    };
    tokio::select! {
        () = trickle => unreachable!("the trickle never ends"),
        reply = read_to_end(&mut reader) => reply,
    }
}

/// The first message of a TLS client.
pub(crate) fn tls_hello() -> Vec<u8> {
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("broker.example").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}
