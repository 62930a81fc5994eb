//! `snowflake-broker admin` as an operator meets it: the real program asks a
//! real broker.

mod broker;
mod calls;
mod completions;
mod log;
mod packaging;
mod refusals;
mod remote;
mod terminal;
mod watch;
