//! The server over real sockets: connections that close, stall or send rubbish,
//! HTTP/1.1, HTTP/2 and TLS, and many at once.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod connections;
#[path = "../support/front.rs"]
mod front;
mod many;
#[path = "../support/messages.rs"]
mod messages;
#[path = "../support/peer.rs"]
mod peer;
mod rubbish;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use front::Front;
use snowflake_broker::listener::{self, Observer, Server, Settings};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes; only what hangs runs into it.
const FOREVER: Duration = Duration::from_mins(1);

/// Serves the front on a port of its own.
async fn serve(front: &Front, settings: Settings, tls: Option<TlsAcceptor>) -> SocketAddr {
    let listener = listener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let closing = CancellationToken::new();
    let router = front.router.clone();
    let server = Server::new(settings, tls, router, Arc::new(Unobserved), closing);
    tokio::spawn(Arc::new(server).run(listener));
    addr
}

struct Unobserved;

impl Observer for Unobserved {
    fn opened(&self) {}
    fn closed(&self) {}
    fn handshake_failed(&self, _in_time: bool) {}
}

/// Waits until something is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    let waited = timeout(FOREVER, async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("it never became so");
}

fn parked(front: &Front) -> usize {
    let parked = front.broker.snapshot().parked;
    parked.iter().map(|(_, _, count)| count).sum()
}
