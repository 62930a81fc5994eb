//! The `snowflake-broker` program.

use std::process::ExitCode;

#[cfg(feature = "jemalloc")]
use tikv_jemallocator::Jemalloc;

/// The allocator. It returns memory to the system 10 s after it is freed, while glibc's
/// keeps nearly all memory of a burst; see docs/performance.md.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    snowflake_broker::cli::run(std::env::args_os(), std::env::vars_os())
}
