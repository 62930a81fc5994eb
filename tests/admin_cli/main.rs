//! `snowflake-broker admin` as an operator meets it: the real program asks a
//! real broker.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod broker;
mod calls;
mod completions;
mod log;
mod packaging;
#[path = "../support/port.rs"]
mod port;
mod refusals;
mod remote;
mod terminal;
#[path = "../support/unpacked.rs"]
mod unpacked;
mod watch;
