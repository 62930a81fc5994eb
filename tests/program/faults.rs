//! Faults around the real program: it keeps serving, and afterwards everything is as
//! before.

mod broker;
mod clocks;
mod descriptors;
mod disk;
mod garbage;
mod half_closed;
mod injected;
// It is what the feature is for.
#[cfg(feature = "jemalloc")]
mod memory;
mod output;
mod reloads;
mod slow_peers;
mod start_and_stop;
mod stranger;

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// A time-out for hanging tests, longer than anything here takes.
const FOREVER: Duration = Duration::from_mins(1);

/// A list with the bridge that clients ask for.
const BRIDGE: &str = r#"{"displayName":"default","webSocketAddress":"wss://a.example/","fingerprint":"2B280B23E1107BB62ABFC40DDCC8824814F80A72"}"#;

/// Waits until `is_so` is true.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = timeout(FOREVER, async {
        while !is_so() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"));
}
