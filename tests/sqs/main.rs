//! Rendezvous through SQS: the same suite on queues in memory and on moto, a
//! server that speaks as SQS does, and the real program on moto.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod broker;
mod documents;
#[path = "../support/front.rs"]
mod front;
mod memory;
#[path = "../support/messages.rs"]
mod messages;
mod moto;
#[path = "../interop/namespace.rs"]
mod namespace;
mod outages;
#[path = "../support/peer.rs"]
#[expect(dead_code, reason = "all peers here speak HTTP/1.1")]
mod peer;
#[path = "../support/port.rs"]
mod port;
#[path = "../support/process.rs"]
mod process;
mod program;
#[path = "../http/requests.rs"]
#[expect(dead_code, reason = "what is replied is read as JSON")]
mod requests;
mod service;
mod suite;
mod sweep;
#[path = "../support/unpacked.rs"]
mod unpacked;
#[path = "../support/wait.rs"]
mod wait;
