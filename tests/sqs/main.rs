//! Rendezvous through SQS: the same suite on in-memory queues and on moto, a server that
//! simulates SQS, and the real program on moto.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod broker;
mod conformance;
#[expect(dead_code, unused_imports, reason = "no program needs all of it")]
#[path = "../conformance/kit/mod.rs"]
mod conformance_kit;
mod documents;
mod memory;
mod moto;
mod outages;
mod program;
mod service;
mod suite;
#[expect(dead_code, reason = "no program needs all of it")]
#[path = "../support/mod.rs"]
mod support;
mod sweep;
