//! The server over real sockets: connections that close, stall or send rubbish, HTTP/1.1,
//! HTTP/2 and TLS, and many connections at once.

mod broken_off;
mod connections;
mod half_closed;
mod heads;
mod hellos;
mod large_bodies;
mod limits;
mod many;
mod parking;
mod proxy_protocol;
mod rubbish;
mod tls;
mod unread;
mod wrong_ports;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use snowflake_broker::listener::{ChooseTls, Settings};
use tokio::time::{sleep, timeout};

use crate::support::front::Front;
use crate::support::serve;

/// A time-out for hanging tests, longer than anything here takes.
const FOREVER: Duration = Duration::from_mins(1);

/// Serves the front on a free port.
async fn serve(front: &Front, settings: Settings, tls: Option<Arc<ChooseTls>>) -> SocketAddr {
    serve::serve(front.endpoints.clone(), settings, tls).await
}

/// Waits until `is_so` is true.
async fn until(mut is_so: impl FnMut() -> bool) {
    let waited = timeout(FOREVER, async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("it never became so");
}

fn parked(front: &Front) -> usize {
    let parked = front.broker.control().snapshot().parked;
    parked.iter().map(|(_, _, count)| count).sum()
}
