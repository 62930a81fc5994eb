//! The broker under a service manager: sockets that outlive it, notifications, and
//! restarts under load.

mod broker;
mod killed;
mod load;
mod notices;
mod sockets;
mod stages;
mod twenty;

use std::time::Duration;

/// A time-out for hanging tests, longer than anything here takes.
const FOREVER: Duration = Duration::from_mins(1);
