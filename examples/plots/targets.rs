//! Targets beside the measured figures.

use crate::figures::{Figure, cpu_a_match, memory_a_poll, p99, start_up};
use crate::reference::{self, CPU_A_MATCH, CPU_A_MATCH_CONNECTING, MEMORY_A_POLL, P99};
use crate::results::{Results, Row, Scenario};
use crate::table::Table;
use crate::tables::digits;

/// Maximum share of the reference's CPU a match.
const HALF: f64 = 0.5;
const HALF_WITH_HANDSHAKES: f64 = 0.7;
/// Maximum kilobytes a parked poll.
const MEMORY: f64 = 10.0;
const MEMORY_TLS: f64 = 20.0;
/// Maximum of the broker's p99 divided by the reference's.
const P99_OVER_REFERENCE: f64 = 1.0;
/// Maximum of the broker's CPU a request divided by the floor's.
const OVER_FLOOR: f64 = 1.3;
/// Maximum of CPU a match with many parked polls divided by that with few.
const GROWTH: f64 = 1.3;
/// Maximum milliseconds to the first response.
const START: f64 = 100.0;

/// A target.
struct Target {
    what: String,
    reference: Option<f64>,
    most: f64,
    measured: f64,
    digits: usize,
}

/// The table of all targets for which there is a measurement.
pub(crate) fn table(measured: &[Results]) -> Table {
    let head = ["what", "reference, then", "at most", "measured", ""];
    let targets = measured.iter().flat_map(targets);
    Table {
        head: head.map(str::to_owned).into(),
        rows: targets.map(|target| target.cells()).collect(),
    }
}

fn targets(results: &Results) -> Vec<Target> {
    match results.scenario {
        Scenario::Match => matches(results),
        Scenario::Connections => {
            let name = "CPU a match, a connection for each request";
            cpu(results, name, &CPU_A_MATCH_CONNECTING, HALF_WITH_HANDSHAKES)
        }
        Scenario::Memory => memory(results),
        Scenario::Growth => growth(results).into_iter().collect(),
        Scenario::Start => start(results).into_iter().collect(),
        Scenario::Latency | Scenario::DayCalm | Scenario::DayShutdown | Scenario::Idle => {
            Vec::new()
        }
    }
}

fn matches(results: &Results) -> Vec<Target> {
    let mut targets = cpu(results, "CPU a match", &CPU_A_MATCH, HALF);
    for row in &results.rows {
        targets.extend(row.over_floor().map(|measured| Target {
            what: format!("CPU a request over the floor's, {}", row.name),
            reference: None,
            most: OVER_FLOOR,
            measured,
            digits: 2,
        }));
    }
    let saturated = &results.rows[0];
    targets.extend(saturated.broker(p99).map(|measured| Target {
        what: format!("p99 at saturation, ms, {}", saturated.name),
        reference: Some(P99),
        most: P99,
        measured,
        digits: 1,
    }));
    let p99_beside = beside_reference(saturated, "p99 at saturation", p99, P99_OVER_REFERENCE);
    targets.extend(p99_beside);
    targets
}

fn cpu(results: &Results, what: &str, reference: &[(&str, f64)], share: f64) -> Vec<Target> {
    let target = |row: &Row| {
        let reference = reference::of(reference, &row.name)?;
        let absolute = Target {
            what: format!("{what}, us, {}", row.name),
            reference: Some(reference),
            most: reference * share,
            measured: row.broker(cpu_a_match)?,
            digits: 1,
        };
        Some([
            Some(absolute),
            beside_reference(row, what, cpu_a_match, share),
        ])
    };
    let targets = results.rows.iter().filter_map(target);
    targets.flatten().flatten().collect()
}

/// The target relative to the reference in the same runs, if it took part.
fn beside_reference(row: &Row, what: &str, figure: Figure, most: f64) -> Option<Target> {
    Some(Target {
        what: format!(
            "{what}, over the reference's in the same runs, {}",
            row.name
        ),
        reference: None,
        most,
        measured: row.over_reference(figure)?,
        digits: 2,
    })
}

fn memory(results: &Results) -> Vec<Target> {
    let target = |row: &Row| {
        let most = if row.name.contains("TLS") {
            MEMORY_TLS
        } else {
            MEMORY
        };
        Some(Target {
            what: format!("memory a parked poll, KB, {}", row.name),
            reference: reference::of(&MEMORY_A_POLL, &row.name),
            most,
            measured: row.broker(memory_a_poll)?,
            digits: 1,
        })
    };
    results.rows.iter().filter_map(target).collect()
}

fn growth(results: &Results) -> Option<Target> {
    let (first, last) = (results.rows.first()?, results.rows.last()?);
    Some(Target {
        what: format!("CPU a match, {} over {}", last.name, first.name),
        reference: None,
        most: GROWTH,
        measured: last.over(first, cpu_a_match)?,
        digits: 2,
    })
}

fn start(results: &Results) -> Option<Target> {
    let row = results
        .rows
        .iter()
        .find(|row| row.name.contains("databases"))?;
    Some(Target {
        what: format!("start to the first response, ms, {}", row.name),
        reference: None,
        most: START,
        measured: row.broker(start_up)?,
        digits: 0,
    })
}

impl Target {
    fn cells(&self) -> Vec<String> {
        let number = |figure| digits(self.digits, figure).unwrap_or_else(|| "-".to_owned());
        let verdict = if self.measured <= self.most {
            "met"
        } else {
            "missed"
        };
        vec![
            self.what.clone(),
            number(self.reference),
            number(Some(self.most)),
            number(Some(self.measured)),
            verdict.to_owned(),
        ]
    }
}
