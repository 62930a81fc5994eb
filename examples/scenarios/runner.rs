//! Runs the load generator, row after row and round after round.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::Options;
use crate::catalogue::{Other, Plan, PlannedRow};
use crate::databases;
use crate::report::Comparison;
use crate::results::{Machine, Results, Row, Scenario};

/// The time-out for rows whose polls stay parked.
const LONG: (&str, &str) = ("SNOWFLAKE_BROKER_MATCHING__PROXY_TIMEOUT", "30m");

/// The programs needed.
pub(crate) struct Programs {
    broker: PathBuf,
    load: PathBuf,
    floor: PathBuf,
    against: Option<PathBuf>,
    reference: Option<PathBuf>,
}

impl Programs {
    /// Finds the programs that were given, or built beside this one.
    pub(crate) fn find(options: &Options) -> Result<Self> {
        let this = env::current_exe()?;
        let built = this
            .parent()
            .and_then(Path::parent)
            .context("this program is in no target folder")?;
        let beside = built.join("snowflake-broker");
        let programs = Self {
            broker: options.broker.clone().unwrap_or(beside),
            load: this.with_file_name("load"),
            floor: this.with_file_name("floor"),
            against: options.against.clone(),
            reference: options.reference.clone(),
        };
        let Self {
            broker,
            load,
            floor,
            against,
            reference,
        } = &programs;
        let others = against.iter().chain(reference);
        for program in [broker, load, floor].into_iter().chain(others) {
            let name = program.display();
            ensure!(program.exists(), "{name} is not there: build it first");
        }
        Ok(programs)
    }
}

/// Runs all rows as often as planned.
pub(crate) fn run(plan: &Plan, scenario: Scenario, programs: &Programs) -> Result<Results> {
    let countries = Countries::write()?;
    let mut rows: Vec<Row> = plan.rows.iter().map(Row::planned).collect();
    for _ in 0..plan.rounds {
        for (planned, row) in plan.rows.iter().zip(&mut rows) {
            let runs = run_once(planned, programs, &countries);
            row.add(runs.with_context(|| planned.name.clone())?);
        }
    }
    Ok(Results {
        scenario,
        is_full: plan.is_full,
        machine: Machine::here()?,
        program_bytes: programs.broker.metadata()?.len(),
        rows,
    })
}

fn run_once(
    planned: &PlannedRow,
    programs: &Programs,
    countries: &Countries,
) -> Result<Comparison> {
    let mut command = Command::new(&programs.load);
    command.arg("--json").arg("--broker").arg(&programs.broker);
    if let Some(program) = &programs.against {
        command.arg("--against").arg(program);
    }
    for other in &planned.beside {
        match (other, &programs.reference) {
            (Other::Floor, _) => command.arg("--floor").arg(&programs.floor),
            (Other::Reference, Some(program)) => command.arg("--reference").arg(program),
            (Other::Reference, None) => continue,
        };
    }
    if planned.parks_long {
        command.env(LONG.0, LONG.1);
    }
    command.args(&planned.arguments).arg("--");
    if planned.has_countries {
        command.args(countries.flags());
    } else {
        command.arg("--disable-geoip");
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    // The exit code also shows a lost answer.
    serde_json::from_slice(&output.stdout).context("the load generator made no report")
}

/// Country databases in a folder that is deleted on drop.
struct Countries(TempDir);

impl Countries {
    fn write() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        databases::write(folder.path())?;
        Ok(Self(folder))
    }

    fn flags(&self) -> [String; 2] {
        let folder = self.0.path().display();
        [
            format!("--geoipdb={folder}/geoip"),
            format!("--geoip6db={folder}/geoip6"),
        ]
    }
}

impl Row {
    fn planned(planned: &PlannedRow) -> Self {
        Self {
            name: planned.name.clone(),
            command: command_line(planned),
            at: planned.at,
            runs: Comparison::default(),
        }
    }

    fn add(&mut self, runs: Comparison) {
        self.runs.broker.extend(runs.broker);
        self.runs.floor.extend(runs.floor);
        self.runs.floor_ratios.extend(runs.floor_ratios);
        self.runs.earlier.extend(runs.earlier);
        self.runs.reference.extend(runs.reference);
    }
}

/// The command to run this row alone.
fn command_line(planned: &PlannedRow) -> String {
    let mut words = Vec::new();
    if planned.parks_long {
        words.push(format!("{}={}", LONG.0, LONG.1));
    }
    let programs = "target/dist/examples/load --broker target/dist/snowflake-broker";
    words.push(programs.to_owned());
    if planned.beside.contains(&Other::Floor) {
        words.push("--floor target/dist/examples/floor".to_owned());
    }
    words.extend(planned.arguments.iter().cloned());
    words.join(" ")
}

impl Results {
    /// Returns true if every client got its own answer, and every answer reached a
    /// client.
    pub(crate) fn are_correct(&self) -> bool {
        let comparisons = self.rows.iter().map(|row| &row.runs);
        let mut runs = comparisons.flat_map(|runs| runs.broker.iter().chain(&runs.floor));
        runs.all(|run| run.correct)
    }
}
