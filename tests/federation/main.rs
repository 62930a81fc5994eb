//! Brokers that lend each other proxies, in one process: each is whole, and they
//! speak gRPC over streams in memory, in paused time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/counted.rs"]
mod counted;
#[path = "../support/messages.rs"]
mod messages;

mod failures;
mod liars;
mod loans;
mod network;
mod node;
mod refusals;
mod supply;
mod traces;
#[path = "../support/watched.rs"]
mod watched;
#[path = "../support/wire.rs"]
mod wire;

/// A bridge that the brokers here know beside the default one.
const SECOND_BRIDGE: &str = "00000B23E1107BB62ABFC40DDCC8824814F80A72";
