//! The broker under a service manager: sockets that outlive it, what it tells,
//! and restarts under load.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod broker;
mod load;
#[path = "../support/messages.rs"]
mod messages;
mod notices;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/port.rs"]
mod port;
mod sockets;
mod stages;
mod twenty;

use std::time::Duration;

/// Longer than anything here takes; only what hangs runs into it.
const FOREVER: Duration = Duration::from_mins(1);
