//! `snowflake-broker admin` from an operator's side: the real program calls a real
//! broker.

mod broker;
mod calls;
mod completions;
mod log;
mod packaging;
mod refusals;
mod remote;
mod terminal;
mod watch;
