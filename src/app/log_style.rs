//! The style of the log, which depends on who reads stderr: the journal, a terminal, or
//! a file.

use std::env;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;

use crate::telemetry::LogStyle;

/// The style in which this process logs.
pub(super) fn detect() -> LogStyle {
    if env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stderr(&stream)) {
        LogStyle::Journal
    } else if io::stderr().is_terminal() && shows_colours() {
        LogStyle::Terminal
    } else {
        LogStyle::Plain
    }
}

/// Returns true if the terminal shows colours, and who sits there wants them
/// (no-color.org).
fn shows_colours() -> bool {
    let is_unwanted = env::var_os("NO_COLOR").is_some_and(|unwanted| !unwanted.is_empty());
    let is_dumb = env::var_os("TERM").is_none_or(|kind| kind == "dumb");
    !is_unwanted && !is_dumb
}

/// Returns true if stderr is the journal's stream, which systemd names by device and
/// inode. The variable alone says nothing: every shell under systemd passes it
/// on, wherever the output goes then (systemd.exec(5)).
fn is_stderr(stream: &str) -> bool {
    let stderr = io::stderr().as_fd().try_clone_to_owned();
    let metadata = stderr.and_then(|stderr| File::from(stderr).metadata());
    metadata.is_ok_and(|file| stream == format!("{}:{}", file.dev(), file.ino()))
}
