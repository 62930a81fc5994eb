//! The composition: the command line, the configuration and what is made of it.

mod books;
mod certificates;
pub mod cli;
mod commands;
mod count_ips;
mod durable;
mod exports;
mod ip_counts;
mod lifecycle;
mod observed;
mod random;
mod reload;
mod serve;
mod window_file;

use std::ffi::OsString;
use std::process::ExitCode;

/// Does what the arguments, the first being the program's name, ask for.
///
/// The exit code is 0 for success, 2 for a wrong command line or configuration
/// and 1 for every other failure.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    commands::dispatch(arguments, environment, serve::serve)
}
