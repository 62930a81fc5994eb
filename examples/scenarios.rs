//! All that `docs/performance.md` says, measured: each scenario is a few runs of the
//! load generator (`examples/load.rs`), which print a table and leave their figures
//! in a file for `examples/plots.rs`.
//!
//! ```sh
//! cargo build --release --bin snowflake-broker --examples
//! target/release/examples/scenarios --all --full --into docs/performance
//! ```
//!
//! Without `--full` every run takes a moment, and shows no more than that all of
//! them work. `scenarios match growth` runs these two. What a row of the tables is
//! made by is in the file, as a command line that can be run alone.
//!
//! The rows of a scenario take turns, round after round, so that whatever else the
//! machine does comes upon all of them.

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

/// Runs scenarios of load and prints what they show.
#[derive(Parser)]
#[command(name = "scenarios", arg_required_else_help = true)]
struct Options {
    /// Which.
    #[arg(value_enum, required_unless_present = "all")]
    scenarios: Vec<Scenario>,
    /// All of them; more than an hour with --full.
    #[arg(long, conflicts_with = "scenarios")]
    all: bool,
    /// Measure, and do not only try: minutes for each scenario.
    #[arg(long)]
    full: bool,
    /// How often each row is measured, instead of as often as it takes.
    #[arg(long, requires = "full", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Write the figures of each scenario to NAME.json in this folder.
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// The broker; without it the one that was built beside this program.
    #[arg(long, value_name = "PATH")]
    broker: Option<PathBuf>,
    /// Another broker, to be put under the same load where it can be; see `load
    /// --help`.
    #[arg(long, value_name = "PATH")]
    reference: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let programs = Programs::find(options.broker.as_deref(), options.reference.clone())?;
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
