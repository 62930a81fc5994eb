//! The page's tables, each of which is replaced between two comments.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::place::put;
use crate::results::{Machine, Results};
use crate::table::Table;
use crate::tables;
use crate::targets;

/// Fills in the tables of the measured scenarios; the page must have a place for each.
pub(crate) fn fill(page: &Path, measured: &[Results]) -> Result<()> {
    let mut text = fs::read_to_string(page)?;
    put(&mut text, "machine", &machines(measured).to_string())?;
    put(&mut text, "targets", &targets::table(measured).to_string())?;
    put(&mut text, "commands", &commands(measured).to_string())?;
    for results in measured {
        let table = tables::of(results).to_string();
        put(&mut text, &results.scenario.name(), &table)?;
    }
    Ok(fs::write(page, text)?)
}

/// All machines, with the scenarios that were run on them.
fn machines(measured: &[Results]) -> Table {
    let mut machines: Vec<(&Machine, u64, bool, String)> = Vec::new();
    for results in measured {
        let (machine, bytes) = (&results.machine, results.program_bytes);
        let name = results.scenario.name();
        let known = machines.iter_mut().find(|(known, size, is_full, _)| {
            (*known, *size, *is_full) == (machine, bytes, results.is_full)
        });
        match known {
            Some((.., scenarios)) => {
                let _infallible = write!(scenarios, ", {name}");
            }
            None => machines.push((machine, bytes, results.is_full, name)),
        }
    }
    let head = [
        "scenarios",
        "processor",
        "memory",
        "kernel",
        "size of the broker's program",
    ];
    Table {
        head: head.map(str::to_owned).into(),
        rows: machines.into_iter().map(machine_cells).collect(),
    }
}

fn machine_cells(
    (machine, bytes, is_full, scenarios): (&Machine, u64, bool, String),
) -> Vec<String> {
    let tried = if is_full {
        ""
    } else {
        " (only tried, not measured)"
    };
    vec![
        scenarios + tried,
        format!("{} of {}", machine.processors, machine.processor),
        format!("{} GB", machine.memory_bytes / 1_000_000_000),
        machine.kernel.clone(),
        format!("{} KB", bytes / 1_000),
    ]
}

/// The commands that produced the rows.
fn commands(measured: &[Results]) -> Table {
    let rows = measured.iter().flat_map(|results| {
        results.rows.iter().map(|row| {
            let command = format!("`{}`", row.command);
            vec![
                results.scenario.name(),
                row.name.clone(),
                row.runs.broker.len().to_string(),
                command,
            ]
        })
    });
    Table {
        head: ["scenario", "row", "runs", "one run"]
            .map(str::to_owned)
            .into(),
        rows: rows.collect(),
    }
}
