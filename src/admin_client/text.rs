//! The text form of responses.

mod figures;
mod impact;
mod peers;
mod screen;
mod sentences;
mod status;
mod supply;
mod table;

pub(super) use impact::impact;
pub(super) use peers::peers;
pub(super) use screen::{History, Line, screen};
pub(super) use sentences::{
    DryRun, bridge_lines, bridges, checked_bridges, config, drain, intervals, limits, log_filter,
    polls, relay, reloaded, replaced_bridges, stats,
};
pub(super) use status::{line, status, versions};
pub(super) use supply::{sources, supply};
