//! The broker under a service manager: sockets that outlive it, what it tells,
//! and restarts under load.

mod broker;
mod load;
mod notices;
mod sockets;
mod stages;
mod twenty;

use std::time::Duration;

/// Longer than anything here takes; only what hangs runs into it.
const FOREVER: Duration = Duration::from_mins(1);
