//! The server: what a broker is composed of, and its life from start to stop.

mod accounts;
mod admin;
mod certificates;
mod components;
mod countries;
mod exposed;
mod federation;
pub(crate) mod files;
mod health;
mod lifecycle;
mod listen;
mod locks;
mod memory_limit;
mod operator_port;
mod otel;
mod persistence;
mod process_metrics;
mod queues;
mod random;
mod reload;
mod serve;
pub(crate) mod start_up;
mod systemd;

pub(crate) use serve::serve;
