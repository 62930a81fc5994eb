//! The `snowflake-broker` program.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The allocator. It returns memory to the system 1 s after it is freed, while glibc's
/// keeps nearly all memory of a burst; see docs/performance.md.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    snowflake_broker::cli::run(std::env::args_os(), std::env::vars_os())
}
