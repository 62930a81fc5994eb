//! The composition: the command line, the configuration and what is made of it.

mod access;
mod accounts;
mod admin;
mod books;
mod certificates;
pub mod cli;
mod commands;
mod count_ips;
mod countries;
mod durable;
mod exports;
mod exposed;
mod federation;
mod ip_counts;
mod lifecycle;
mod locks;
mod memory_limit;
mod observed;
mod operator;
mod operator_port;
mod packaging;
mod parts;
mod published_file;
mod queues;
mod random;
mod regular_file;
mod reload;
mod serve;
mod service_manager;
mod sockets;
mod start_up;
mod window_file;

use std::ffi::OsString;
use std::process::ExitCode;

/// Does what the arguments, the first being the program's name, ask for.
///
/// The exit code is 0 for success, 2 for a wrong command line, configuration or
/// file that it names, and 1 for every other failure, a broker that refuses an
/// operator's call among them.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    commands::dispatch(arguments, environment, serve::serve)
}
