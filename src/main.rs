//! The `snowflake-broker` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    snowflake_broker::app::run(std::env::args_os(), std::env::vars_os())
}
