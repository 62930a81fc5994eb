//! The wire format: every message that clients and proxies exchange with the broker,
//! decoded to types and encoded back. Pure: no clock, no I/O.
//!
//! The reference broker reads JSON with Go's `encoding/json`. The module `json` reads it
//! the same way, so this broker accepts the same messages.

pub mod amp_armor;
pub mod amp_path;
pub mod answer;
pub mod candidates;
pub mod client;
pub mod fingerprint;
pub(crate) mod json;
pub mod nat;
pub mod nat_probe;
pub mod proxy;
mod proxy_type;
pub mod public_address;
pub mod relay_pattern;
pub mod rendezvous_method;
pub mod session_description;

pub use json::JsonError;
