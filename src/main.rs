//! The `snowflake-broker` program.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Gives memory back to the system 10 s after it was freed. glibc's keeps nearly all
/// that a burst took, see docs/performance.md.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    snowflake_broker::cli::run(std::env::args_os(), std::env::vars_os())
}
