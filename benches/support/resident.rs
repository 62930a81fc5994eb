//! The memory of this program.

use procfs::process::Process;

/// How many bytes of it are in memory now.
pub(crate) fn resident_bytes() -> u64 {
    let stat = Process::myself().and_then(|process| process.stat());
    stat.expect("/proc tells").rss * procfs::page_size()
}
