//! The server: the composition of a broker, and its life from start to stop.

mod accounts;
mod admin;
mod announcement;
mod bridge_prober;
mod certificates;
mod check;
mod cluster;
mod components;
mod countries;
mod entropy;
mod exposed;
mod federation;
pub(crate) mod files;
mod health;
mod lifecycle;
mod listen;
mod locks;
mod log_style;
mod memory_limit;
mod nat_probe;
mod network_lists;
mod open_sockets;
mod operator_port;
mod otel;
mod persistence;
mod private_pools;
mod process_metrics;
mod queues;
mod reload;
mod serve;
mod shared_changes;
mod supervisor;
mod systemd;

pub(crate) use check::check;
pub(crate) use log_style::shows_colours;
pub(crate) use serve::serve;
