//! A wall clock that the test can set, by Debian's libfaketime.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::libraries;

/// The library to preload into programs.
pub(crate) fn library() -> PathBuf {
    let folders = libraries::folders().into_iter();
    let mut places = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    let place = places.find(|place| place.exists());
    place.expect("libfaketime is missing: run tests/run once, it fetches it")
}

/// Sets the clock through the file in `FAKETIME_TIMESTAMP_FILE`, atomically.
pub(crate) fn set_clock(offset: &Path, seconds: &str) {
    let new = offset.with_extension("new");
    fs::write(&new, seconds).unwrap();
    fs::rename(new, offset).unwrap();
}
