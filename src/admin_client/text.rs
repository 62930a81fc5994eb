//! The text form of responses.

mod bridges;
mod figures;
mod impact;
mod nodes;
mod peers;
mod policy;
mod pools;
mod screen;
mod sentences;
mod status;
mod supply;
mod table;

pub(super) use bridges::{bridges, changed_bridge, checked_bridges, replaced_bridges};
pub(super) use impact::impact;
pub(super) use nodes::nodes;
pub(super) use peers::peers;
pub(super) use policy::{explanation, policy};
pub(super) use pools::{created_pool, pools};
pub(super) use screen::{History, Line, screen};
pub(super) use sentences::{
    DryRun, config, drain, intervals, limits, log_filter, polls, relay, reloaded, stats,
};
pub(super) use status::{line, status, versions};
pub(super) use supply::{sources, supply};
