//! The foreign programs and files that `tests/run` unpacks.

use std::env;
use std::path::{Path, PathBuf};

/// The path of a file in their folder; for Debian packages, the path on a Debian system
/// without the leading slash.
pub(crate) fn file(path: &str) -> PathBuf {
    let folder = env::var_os("SNOWFLAKE_INTEROP_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/interop"),
        PathBuf::from,
    );
    let file = folder.join(path);
    assert!(
        file.exists(),
        "{} is missing: run tests/run once, it fetches it",
        file.display()
    );
    file
}
