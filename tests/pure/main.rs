//! Tests that need nothing but this package: no other program, no network, no privilege.
//! They are run in Nix's sandbox, too.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../architecture.rs"]
mod architecture;
mod config;
mod engine;
mod fuzz_corpora;
mod learning;
mod matching_interleavings;
mod matching_model;
mod nodes;
mod outcomes;
mod poll_steering;
mod simulation;
mod stats_log;
mod supply;
#[expect(dead_code, reason = "no program needs all of it")]
#[path = "../support/mod.rs"]
mod support;
#[path = "../../fuzz/src/targets/mod.rs"]
mod targets;
mod wire_properties;
