//! Certificates by ACME, from Debian's pebble, the test server of Let's Encrypt.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod broker;
mod challenges;
mod first_orders;
mod http;
mod pebble;
#[path = "../support/port.rs"]
mod port;
#[path = "../support/privacy.rs"]
mod privacy;
#[path = "../support/process.rs"]
mod process;
mod renewals;
#[path = "../support/tls_client.rs"]
mod tls_client;
#[path = "../support/unpacked.rs"]
mod unpacked;
#[path = "../support/wait.rs"]
mod wait;
