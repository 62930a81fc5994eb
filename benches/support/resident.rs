//! The memory of this program.

use procfs::process::Process;

/// The resident memory of this process, in bytes.
pub(crate) fn resident_bytes() -> u64 {
    let stat = Process::myself().and_then(|process| process.stat());
    stat.expect("/proc tells").rss * procfs::page_size()
}
