//! Brokers that lend each other proxies. Most of these tests run in one process: complete
//! brokers speak gRPC over in-memory streams, in paused time. [`simulation`] adds a
//! simulated network, [`program`] the real program, and [`machines`] a real network.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod failures;
mod liars;
mod loans;
mod machines;
mod network;
mod node;
mod private_pools;
mod program;
mod refusals;
mod simulation;
mod supply;
#[expect(dead_code, reason = "no program needs all of it")]
#[path = "../support/mod.rs"]
mod support;
mod traces;

/// A bridge that these brokers know, in addition to the default one.
const SECOND_BRIDGE: &str = "00000B23E1107BB62ABFC40DDCC8824814F80A72";
