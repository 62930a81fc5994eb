//! Simulates days of the large broker with attackers and honest crowds, under three rules,
//! and fills the tables and draws the plots of `docs/matching.md`.
//!
//! ```sh
//! cargo build --profile dist --example supply
//! target/dist/examples/supply docs/matching.md
//! ```
//!
//! This takes minutes; `--brief` only shows that it works. The tests have the same
//! simulation with one seed (`tests/pure/supply.rs`).

#[path = "plots/bars.rs"]
mod bars;
#[path = "plots/curves.rs"]
#[expect(dead_code, reason = "one kind of scales is enough here")]
mod curves;
#[path = "../tests/pure/engine.rs"]
mod engine;
#[path = "../tests/pure/supply/fleet.rs"]
mod fleet;
#[path = "../tests/pure/supply/people.rs"]
mod people;
#[path = "plots/place.rs"]
mod place;
#[path = "supply/plots.rs"]
mod plots;
#[path = "../tests/pure/supply/proxies.rs"]
mod proxies;
#[path = "plots/publication.rs"]
mod publication;
#[path = "supply/runs.rs"]
mod runs;
#[path = "../tests/pure/supply/scene.rs"]
mod scene;
#[path = "../tests/pure/simulation.rs"]
mod simulation;
#[path = "scenarios/table.rs"]
mod table;
#[path = "supply/tables.rs"]
mod tables;
#[path = "../tests/pure/supply/tally.rs"]
mod tally;
#[path = "../tests/pure/supply/world.rs"]
mod world;

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use runs::Runs;

/// Simulates days of the large broker, with attackers and honest crowds.
#[derive(Parser)]
struct Options {
    /// Page whose tables are filled; the plots go to the folder of its name. Without it,
    /// the tables are printed.
    page: Option<PathBuf>,
    /// Number of runs of each row.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Simulates seconds only.
    #[arg(long)]
    brief: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let runs = Runs::new(options.seeds, options.brief);
    let tables = tables::all(&runs);
    publication::publish(&tables, options.page.as_deref())?;
    let Some(page) = options.page else {
        return Ok(());
    };
    let folder = page.with_extension("");
    fs::create_dir_all(&folder)?;
    plots::draw(&runs, &folder)
}
