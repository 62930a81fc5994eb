//! Simulates days of the large broker with proxies of which a third work badly, and fills the
//! tables of `docs/matching.md` that are about it.
//!
//! ```sh
//! cargo build --profile dist --example learning
//! target/dist/examples/learning docs/matching.md
//! ```
//!
//! This takes minutes; `--brief` only shows that it works. The tests have the same
//! simulation with one seed (`tests/pure/learning.rs`).

#[path = "../tests/pure/engine.rs"]
mod engine;
#[path = "../tests/pure/supply/fleet.rs"]
#[expect(dead_code, reason = "only strict clients and open proxies are needed")]
mod fleet;
#[path = "../tests/pure/supply/people.rs"]
#[expect(dead_code, reason = "only the rate of new clients is needed")]
mod people;
#[path = "plots/place.rs"]
mod place;
#[path = "../tests/pure/learning/proxies.rs"]
mod proxies;
#[path = "plots/publication.rs"]
mod publication;
#[path = "../tests/pure/learning/scenes.rs"]
#[expect(dead_code, reason = "only a test has mended proxies")]
mod scenes;
#[path = "../tests/pure/simulation.rs"]
mod simulation;
#[path = "scenarios/table.rs"]
mod table;
#[path = "learning/tables.rs"]
mod tables;
#[path = "../tests/pure/learning/tally.rs"]
mod tally;
#[path = "../tests/pure/learning/world.rs"]
mod world;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

/// Simulates days of the large broker, with proxies that work badly.
#[derive(Parser)]
struct Options {
    /// Page whose tables are filled. Without it, the tables are printed.
    page: Option<PathBuf>,
    /// Number of runs of each figure.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Simulates seconds only.
    #[arg(long)]
    brief: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let tables = tables::all(options.seeds, options.brief);
    publication::publish(&tables, options.page.as_deref())
}
