//! The shared libraries that came along with the foreign programs.

use std::fs;
use std::path::PathBuf;

use crate::unpacked;

/// Their folders, whatever the architecture.
pub(crate) fn folders() -> Vec<PathBuf> {
    let parents = ["lib", "usr/lib"].map(|parent| unpacked::file("").join(parent));
    // A package without libraries has no such folder.
    let entries = parents.iter().flat_map(fs::read_dir).flatten();
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}
