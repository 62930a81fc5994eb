//! Federation through the real program: over TCP and TLS, in network namespaces of
//! the tests' own.

mod brokers;
mod caller;
mod document;
mod refusals;
mod reloads;

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Longer than anything here takes; only what hangs runs into it.
const FOREVER: Duration = Duration::from_mins(2);

/// Waits until it is so.
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
