//! The style of the log, depending on the reader of stderr: the journal, a terminal, or a
//! file.

use std::env;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;

use crate::telemetry::LogStyle;

/// The style for this process.
pub(super) fn detect() -> LogStyle {
    if env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stderr(&stream)) {
        LogStyle::Journal
    } else if io::stderr().is_terminal() && shows_colours() {
        LogStyle::Terminal
    } else {
        LogStyle::Plain
    }
}

/// Returns true if the terminal supports colors and its user wants them (no-color.org).
pub(crate) fn shows_colours() -> bool {
    let is_unwanted = env::var_os("NO_COLOR").is_some_and(|unwanted| !unwanted.is_empty());
    let is_dumb = env::var_os("TERM").is_none_or(|kind| kind == "dumb");
    !is_unwanted && !is_dumb
}

/// Returns true if stderr is the journal's stream, which systemd identifies by device and
/// inode. The variable alone proves nothing: shells under systemd pass it on, wherever
/// their output goes (systemd.exec(5)).
fn is_stderr(stream: &str) -> bool {
    let stderr = io::stderr().as_fd().try_clone_to_owned();
    let metadata = stderr.and_then(|stderr| File::from(stderr).metadata());
    metadata.is_ok_and(|file| stream == format!("{}:{}", file.dev(), file.ino()))
}
