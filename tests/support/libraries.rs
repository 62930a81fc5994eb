//! The shared libraries that the foreign programs need.

use std::fs;
use std::path::PathBuf;

use crate::support::unpacked;

/// The folders of the libraries, for any architecture.
pub(crate) fn folders() -> Vec<PathBuf> {
    let parents = ["lib", "usr/lib"].map(|parent| unpacked::file("").join(parent));
    // A package without libraries has no such folder.
    let entries = parents.iter().flat_map(fs::read_dir).flatten();
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}
