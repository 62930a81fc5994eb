//! What the program writes down of its counts, and what survives its end: the
//! metrics log, the window that goes on after a restart, the recordings.
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
