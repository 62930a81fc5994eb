//! The federation of real programs over TCP and TLS, each test in its own network
//! namespace.

mod brokers;
mod caller;
mod document;
mod refusals;
mod reloads;

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// A time-out for hanging tests, longer than anything here takes.
const FOREVER: Duration = Duration::from_mins(2);

/// Waits until `is_so` is true.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = timeout(FOREVER, async {
        while !is_so().await {
            sleep(Duration::from_millis(20)).await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("waited too long: {what}"));
}
