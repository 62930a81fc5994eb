//! Files of the program's counts and their survival: the metrics log, the window that
//! continues after a restart, the recordings.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/port.rs"]
mod port;
#[path = "../support/stats_log.rs"]
mod reader;

mod program;
mod published;
mod recordings;
mod restarts;
mod trouble;
