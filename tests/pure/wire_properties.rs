//! The wire format compared with PROTOCOL.md, sections 2 to 5: tables of its rows, and
//! properties that hold for any input.

mod amp;
mod answer;
mod any_bytes;
mod client;
mod client_checks;
mod json_text;
mod objects;
mod proxy;
