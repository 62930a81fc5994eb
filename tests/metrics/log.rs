//! Files of the program's counts and their survival: the metrics log, the impact log, the
//! window that continues after a restart, the recordings.

mod impact;
mod program;
mod published;
mod recordings;
mod restarts;
mod trouble;
