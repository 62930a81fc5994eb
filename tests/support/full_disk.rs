//! A full disk, and the part of the metrics log that is on it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

/// The number of blocks in the log.
pub(crate) fn blocks(log: &Path) -> usize {
    let log = fs::read_to_string(log).unwrap_or_default();
    log.matches("snowflake-ips-nat-open ").count()
}

/// Fills the disk that contains this file.
pub(crate) fn fill(file: &Path) {
    let mut filler = File::create(file).unwrap();
    while filler.write_all(&[0; 1024]).is_ok() {}
}
