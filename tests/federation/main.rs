//! Brokers that lend each other proxies. Most of these tests run in one process: each
//! broker is whole, and they speak gRPC over streams in memory, in paused time.
//! [`simulation`] adds a simulated network, [`program`] the real program, and
//! [`machines`] a real network.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod failures;
mod liars;
mod loans;
mod machines;
mod network;
mod node;
mod program;
mod refusals;
mod simulation;
mod supply;
#[expect(dead_code, reason = "no program needs all of it")]
#[path = "../support/mod.rs"]
mod support;
mod traces;

/// A bridge that the brokers here know beside the default one.
const SECOND_BRIDGE: &str = "00000B23E1107BB62ABFC40DDCC8824814F80A72";
