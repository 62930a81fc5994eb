//! Traces and metrics as collectors receive them from the program, over real connections.

mod collector;
mod exports;
mod program;
mod trouble;

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// A time-out for hanging tests, longer than anything here takes.
const FOREVER: Duration = Duration::from_mins(1);

/// Waits until `is_so` is true.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = timeout(FOREVER, async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}
