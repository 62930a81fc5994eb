//! All measurements in `docs/performance.md`. Each scenario is a few runs of the load
//! generator (`examples/load.rs`), which print a table and write their figures to a file
//! for `examples/plots.rs`.
//!
//! ```sh
//! cargo build --profile dist --features jemalloc,sqs --bin snowflake-broker --examples
//! target/dist/examples/scenarios --all --full --into docs/performance
//! ```
//!
//! Without `--full` every run takes a moment, and shows only that it works. `scenarios
//! match growth` runs these two. The file also contains the command line of each row,
//! which can be run alone.
//!
//! The rows of a scenario run in turns, round after round, so that other load on the
//! machine affects all of them. With `--against PROGRAM` an earlier build takes part, and
//! the tables say what a change has brought.

#[path = "scenarios/catalogue.rs"]
mod catalogue;
#[path = "scenarios/databases.rs"]
mod databases;
#[path = "scenarios/figures.rs"]
mod figures;
#[path = "scenarios/machine.rs"]
mod machine;
#[path = "load/report.rs"]
mod report;
#[path = "scenarios/results.rs"]
mod results;
#[path = "scenarios/runner.rs"]
mod runner;
#[path = "scenarios/table.rs"]
mod table;
#[path = "scenarios/tables.rs"]
mod tables;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum as _};

use results::{Results, Scenario};
use runner::Programs;

/// Runs load scenarios and prints their results.
#[derive(Parser)]
#[command(name = "scenarios", arg_required_else_help = true)]
struct Options {
    /// The scenarios to run.
    #[arg(value_enum, required_unless_present = "all")]
    scenarios: Vec<Scenario>,
    /// Run all scenarios; more than an hour with --full.
    #[arg(long, conflicts_with = "scenarios")]
    all: bool,
    /// Measure rather than only try; minutes for each scenario.
    #[arg(long)]
    full: bool,
    /// Number of measurements of each row, instead of the scenario's own.
    #[arg(long, requires = "full", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Write the figures of each scenario to NAME.json in this folder.
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// The broker's program; by default the one built beside this program.
    #[arg(long, value_name = "PATH")]
    broker: Option<PathBuf>,
    /// An earlier build of the broker, which takes turns with it in every row.
    #[arg(long, value_name = "PATH")]
    against: Option<PathBuf>,
    /// Another broker to put under the same load where possible; see `load --help`.
    #[arg(long, value_name = "PATH")]
    reference: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let programs = Programs::find(&options)?;
    let scenarios = if options.all {
        Scenario::value_variants()
    } else {
        &options.scenarios
    };
    if let Some(folder) = &options.into {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let mut are_correct = true;
    for scenario in scenarios {
        let mut plan = scenario.plan(options.full);
        plan.rounds = options.rounds.map_or(plan.rounds, usize::from);
        let results = runner::run(&plan, *scenario, &programs)?;
        are_correct &= results.are_correct();
        print(&results, options.json)?;
        if let Some(folder) = &options.into {
            write(&results, folder)?;
        }
    }
    Ok(if are_correct {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(results: &Results, as_json: bool) -> Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        serde_json::to_writer(&mut out, results)?;
        writeln!(out)?;
    } else {
        writeln!(
            out,
            "{}\n\n{}",
            results.scenario.name(),
            tables::of(results)
        )?;
    }
    Ok(())
}

fn write(results: &Results, folder: &Path) -> Result<()> {
    let file = folder.join(format!("{}.json", results.scenario.name()));
    let text = serde_json::to_string(results)?;
    fs::write(&file, text + "\n").with_context(|| file.display().to_string())
}
