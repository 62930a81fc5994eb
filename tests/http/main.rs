//! The HTTP front, request by request, without a socket and with paused time; and the
//! server over real [`sockets`].
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bridges;
mod broken_off;
mod conformance;
#[path = "../conformance/kit/mod.rs"]
mod conformance_kit;
mod forms;
mod impact;
mod limits;
#[cfg(feature = "probe")]
mod nat_probe;
mod operator;
mod outcomes;
mod policy;
mod poll_interval;
mod private_pools;
mod rendezvous;
mod sockets;
mod status_page;
#[expect(dead_code, reason = "no program needs all of it")]
#[path = "../support/mod.rs"]
mod support;
mod traces;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use snowflake_broker::broker::clock;
use snowflake_broker::matching::Settings;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::front::Front;
use crate::support::requests::Reply;

fn front() -> Arc<Front> {
    Arc::new(Front::new(Settings::default()))
}

/// Starts a request in the background, and returns once it is waiting for its reply.
async fn start(front: &Arc<Front>, path: &'static str, body: String) -> JoinHandle<Reply> {
    let front = Arc::clone(front);
    let request = tokio::spawn(async move { front.post(path, body).await });
    sleep(Duration::from_millis(1)).await;
    request
}

async fn elapsed<T>(future: impl Future<Output = T>) -> (Duration, T) {
    let start = clock::now();
    let result = future.await;
    (clock::now() - start, result)
}
