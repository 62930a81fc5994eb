//! The administration by gRPC as its callers meet it: the real program, called
//! by the real grpcurl, by gRPC for Python and JavaScript, by buf, and by our own client.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod bridges;
mod broker;
mod certificates;
mod clients;
mod connections;
mod drain;
mod grpcurl;
mod load;
mod log_filter;
#[path = "../support/messages.rs"]
mod messages;
#[path = "../interop/namespace.rs"]
mod namespace;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/port.rs"]
mod port;
mod python;
mod readings;
mod readme;
mod rpcs;
mod same_rules;
mod settings;
mod socket;
mod strangers;
#[path = "../support/unpacked.rs"]
mod unpacked;
#[path = "../support/wait.rs"]
#[expect(dead_code, reason = "only its bound is used, by namespaces")]
mod wait;
mod watchers;

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Longer than anything here takes; only what hangs runs into it.
const FOREVER: Duration = Duration::from_mins(1);

/// Tries again until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = timeout(FOREVER, async {
        while !is_so().await {
            sleep(Duration::from_millis(10)).await;
        }
    });
    waiting.await.unwrap_or_else(|_| panic!("never: {what}"));
}
