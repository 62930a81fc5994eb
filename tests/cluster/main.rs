//! Brokers that are nodes of one cluster. Most of these tests run in one process, in paused
//! time, over a bus in memory; [`simulation`] lets that bus lose, double, delay and reorder
//! messages, and [`real`] has NATS servers and the real program.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod answers;
mod bucket;
mod bus;
mod node;
mod offers;
mod outages;
mod private_pools;
#[cfg(feature = "cluster")]
mod real;
mod shares;
mod simulation;
#[expect(dead_code, reason = "no program needs all of it")]
#[path = "../support/mod.rs"]
mod support;
mod windows;
