//! The HTTP front, by the bytes of a connection.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use snowflake_broker::http::Endpoints;
use snowflake_broker::listener::accounts::{Accounts, Bounds};
use snowflake_broker::listener::{Closing, PeerIdentity, Server, Settings};
use snowflake_broker::matching;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, duplex, split};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::choice;
use crate::support::front::Front;
use crate::support::serve::{Unobserved, serve_in};

/// Longer than any request may take.
const FOREVER: Duration = Duration::from_hours(1);

/// The preface of HTTP/2 (RFC 9113, section 3.4), and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// HTTP/1 over TCP, with and without a PROXY header. The preface of HTTP/2 is understood
/// there, too.
pub(super) fn http1(input: &[u8]) {
    let Some((which, bytes)) = choice(input, 2) else {
        return;
    };
    on_runtime(async {
        let front = Front::new(hasty());
        let settings = Settings {
            proxy_protocol: which == 1,
            header_read_timeout: Duration::from_millis(5),
            ..Settings::default()
        };
        let accounts = Accounts::new(Bounds::default());
        let endpoints = front.endpoints.clone();
        let address = serve_in(Arc::clone(&accounts), endpoints, settings, None).await;
        let stream = TcpStream::connect(address).await.expect("it listens");
        exchange(stream, bytes).await;
        assert_settled(&front, &accounts).await;
    });
}

/// HTTP/2 from its first frame on, over a stream in memory.
pub(super) fn http2(input: &[u8]) {
    on_runtime(async {
        let front = Front::new(hasty());
        let accounts = Accounts::new(Bounds::default());
        let server = server(front.endpoints.clone(), &accounts);
        let (client, far_end) = duplex(64 * 1024);
        let identity = PeerIdentity::Unix { uid: None };
        let serving = tokio::spawn(server.serve_stream(far_end, identity));
        exchange(client, &[PREFACE, input].concat()).await;
        timeout(FOREVER, serving)
            .await
            .expect("an end")
            .expect("no panic");
        assert_settled(&front, &accounts).await;
    });
}

fn server(endpoints: Endpoints, accounts: &Arc<Accounts>) -> Arc<Server<Endpoints>> {
    let (observer, closing) = (Arc::new(Unobserved), Closing::default());
    let (settings, accounts) = (Settings::default(), Arc::clone(accounts));
    Arc::new(Server::new(
        settings, None, endpoints, observer, accounts, closing,
    ))
}

/// Sends everything, and reads until the broker closes the connection.
async fn exchange(stream: impl AsyncRead + AsyncWrite, bytes: &[u8]) {
    let (mut receiver, mut sender) = split(stream);
    let sending = async {
        // The broker may close the connection before it has read everything.
        let _ = sender.write_all(bytes).await;
        let _ = sender.shutdown().await;
    };
    let mut response = Vec::new();
    let receiving = receiver.read_to_end(&mut response);
    let both = async { tokio::join!(sending, receiving) };
    let _ = timeout(FOREVER, both).await.expect("an end");
}

/// Nothing is left of a connection that has ended: no request, no byte in an account.
async fn assert_settled(front: &Front, accounts: &Accounts) {
    tokio::time::sleep(FOREVER).await;
    let waiting = front.broker.control().snapshot();
    assert_eq!(
        waiting.queued_clients + waiting.matched_clients,
        0,
        "clients wait"
    );
    assert_eq!(
        front.broker.control().parked_polls().len(),
        0,
        "polls are parked"
    );
    assert_eq!(accounts.figures().bytes, 0, "bytes in accounts");
}

/// Time-outs that are soon over even where time is real.
fn hasty() -> matching::Settings {
    matching::Settings {
        client_timeout: Duration::from_millis(3),
        proxy_timeout: Duration::from_millis(3),
        ..matching::Settings::default()
    }
}

/// Runs a test in time that passes only while everything waits.
pub(super) fn on_runtime(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(test);
}
