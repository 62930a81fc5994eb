//! The administration by gRPC from the callers' side: the real program, called by the
//! real grpcurl, by gRPC for Python and JavaScript, by buf, and by our own client, whose
//! commands are in [`cli`].
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod bridges;
mod broker;
mod certificates;
mod cli;
mod clients;
mod connections;
mod drain;
mod grpcurl;
mod impact;
mod load;
mod log_filter;
mod policy;
mod private_pools;
mod python;
mod readings;
mod rpcs;
mod same_rules;
mod settings;
mod socket;
mod strangers;
mod supply;
#[expect(dead_code, reason = "no program needs all of it")]
#[path = "../support/mod.rs"]
mod support;
mod watchers;

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// A time-out for hanging tests, longer than anything here takes.
const FOREVER: Duration = Duration::from_mins(1);

/// Tries again until `is_so` is true.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = timeout(FOREVER, async {
        while !is_so().await {
            sleep(Duration::from_millis(10)).await;
        }
    });
    waiting.await.unwrap_or_else(|_| panic!("never: {what}"));
}
