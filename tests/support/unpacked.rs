//! The foreign programs and files that `tests/run` unpacks.

use std::env;
use std::path::{Path, PathBuf};

/// A file of Debian's packages, by its path on a Debian system without the first slash.
pub(crate) fn file(path: &str) -> PathBuf {
    let file = folder().join(path);
    let is_there = file.exists();
    assert!(
        is_there,
        "{} is missing: run tests/run once, it fetches it",
        file.display()
    );
    file
}

fn folder() -> PathBuf {
    env::var_os("SNOWFLAKE_INTEROP_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/interop"),
        PathBuf::from,
    )
}
