//! The pairs of requests and responses of this folder, and how a broker is held to them.
//!
//! A section is a TOML file. Each of its cases has steps: somebody sends something, gets
//! something, or both at once. Who sends and gets in two steps has a name, `who`, and waits in
//! between.

mod amp;
mod block;
mod case;
mod check;
mod run;
mod series;
mod texts;

pub(crate) use case::{Section, Server, Version};
pub(crate) use run::{Answered, Exchange, run};
