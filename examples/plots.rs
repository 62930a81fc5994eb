//! Draws the plots and fills the tables of `docs/performance.md` from the results of
//! `examples/scenarios.rs`.
//!
//! ```sh
//! target/dist/examples/plots docs/performance
//! ```
//!
//! This reads each `docs/performance/NAME.json`, writes `NAME.svg` beside it, and
//! replaces the text between `<!-- table: NAME -->` and `<!-- /table -->` in
//! `docs/performance.md`. Scenarios that were not measured are left unchanged.

#[path = "plots/bars.rs"]
mod bars;
#[path = "plots/curves.rs"]
mod curves;
#[path = "plots/drawings.rs"]
mod drawings;
#[path = "scenarios/figures.rs"]
mod figures;
#[path = "plots/page.rs"]
mod page;
#[path = "plots/place.rs"]
mod place;
#[path = "plots/reference.rs"]
mod reference;
#[path = "load/report.rs"]
mod report;
#[path = "scenarios/results.rs"]
mod results;
#[path = "scenarios/table.rs"]
mod table;
#[path = "scenarios/tables.rs"]
mod tables;
#[path = "plots/targets.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum as _};

use results::{Results, Scenario};

/// Draws plots and tables of the results.
#[derive(Parser)]
#[command(name = "plots")]
struct Options {
    /// Folder with the results, to which the plots are written.
    folder: PathBuf,
    /// Page with the tables; by default the file of the folder's name with `.md` beside
    /// it.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut measured = Vec::new();
    for scenario in Scenario::value_variants() {
        let file = options.folder.join(scenario.name()).with_extension("json");
        if file.exists() {
            let results = read(&file).with_context(|| file.display().to_string())?;
            drawings::draw(&results, &file.with_extension("svg"))?;
            measured.push(results);
        }
    }
    let folder = options.folder.display();
    ensure!(
        !measured.is_empty(),
        "there are no figures in {folder}: run scenarios first"
    );
    let page = options
        .page
        .unwrap_or_else(|| options.folder.with_extension("md"));
    page::fill(&page, &measured).with_context(|| page.display().to_string())
}

fn read(file: &Path) -> Result<Results> {
    let results: Results = serde_json::from_slice(&fs::read(file)?)?;
    let is_whole = results.rows.iter().all(|row| !row.runs.broker.is_empty());
    ensure!(
        !results.rows.is_empty() && is_whole,
        "there is a row without a run"
    );
    Ok(results)
}
