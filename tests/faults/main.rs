//! What goes wrong around a broker, done to the real program: it serves on, and
//! afterwards everything is as it was before.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod broker;
mod clocks;
#[path = "../support/closing.rs"]
mod closing;
mod descriptors;
mod disk;
#[path = "../support/exposition.rs"]
#[expect(dead_code, reason = "one form is read, and only sums of it")]
mod exposition;
#[path = "../support/faketime.rs"]
mod faketime;
#[path = "../support/full_disk.rs"]
mod full_disk;
mod garbage;
mod half_closed;
#[path = "../support/libraries.rs"]
mod libraries;
mod memory;
#[path = "../support/messages.rs"]
mod messages;
mod output;
#[path = "../support/peer.rs"]
#[expect(dead_code, reason = "all peers here speak HTTP/1.1")]
mod peer;
#[path = "../support/port.rs"]
mod port;
#[path = "../support/privacy.rs"]
mod privacy;
mod reloads;
#[path = "../support/slow_file.rs"]
mod slow_file;
mod slow_peers;
mod start_and_stop;
#[path = "../support/stats_log.rs"]
#[expect(dead_code, reason = "blocks are read for their times and one count")]
mod stats_log;
mod stranger;
#[path = "../support/unpacked.rs"]
mod unpacked;

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Longer than anything here takes; only what hangs runs into it.
const FOREVER: Duration = Duration::from_mins(1);

/// A list with the bridge that clients ask for.
const BRIDGE: &str = r#"{"displayName":"default","webSocketAddress":"wss://a.example/","fingerprint":"2B280B23E1107BB62ABFC40DDCC8824814F80A72"}"#;

/// Waits until it is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = timeout(FOREVER, async {
        while !is_so() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"));
}
