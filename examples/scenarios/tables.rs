//! Results as Markdown tables.

use crate::figures::{
    Figure, cpu_a_match, cpu_a_request, cpu_share, matches_per_second, memory_a_poll, p50, p99,
    p999, requests_per_second, resumed, start_up, to_float,
};
use crate::report::Report;
use crate::results::{Results, Row, Scenario};
use crate::table::Table;

/// A column: its title with unit, and its content for a row.
type Column<'a> = (&'a str, &'a dyn Fn(&Row) -> Option<String>);

const MATCHES_PER_SECOND: Column<'_> = ("matches/s", &|row| {
    digits(0, row.broker(matches_per_second))
});
const CPU_A_MATCH: Column<'_> = ("CPU a match, us", &|row| digits(0, row.broker(cpu_a_match)));
const OVER_FLOOR: Column<'_> = ("CPU a request over the floor's", &|row| {
    digits(2, row.over_floor())
});
const OVER_REFERENCE: Column<'_> = ("CPU a match over the reference's", &|row| {
    digits(2, row.over_reference(cpu_a_match))
});
const P50: Column<'_> = ("p50, ms", &|row| digits(1, row.broker(p50)));
const P99: Column<'_> = ("p99, ms", &|row| digits(1, row.broker(p99)));
const P999: Column<'_> = ("p99.9, ms", &|row| digits(1, row.broker(p999)));
const REFERENCE_P99: Column<'_> = ("the reference's p99, ms", &|row| {
    digits(1, row.reference(p99))
});
const PARKED_POLLS: Column<'_> = ("parked polls", &|row| digits(0, row.at.map(to_float)));

/// The table of a scenario, with what has changed if an earlier build took part.
pub(crate) fn of(results: &Results) -> Table {
    let mut table = without_changes(results);
    let has_changed = |row: &Row| !row.runs.earlier.is_empty();
    if results.rows.iter().any(has_changed) {
        for (name, figure) in changes(results.scenario) {
            table.head.push(format!("{name} over the earlier build's"));
            for (cells, row) in table.rows.iter_mut().zip(&results.rows) {
                let ratio = digits(2, row.over_earlier(*figure));
                cells.push(ratio.unwrap_or_else(|| "-".to_owned()));
            }
        }
    }
    table
}

/// The figures of a scenario that a change of the program may change.
fn changes(scenario: Scenario) -> &'static [(&'static str, Figure)] {
    match scenario {
        Scenario::Match | Scenario::Growth => &[("CPU a match", cpu_a_match)],
        Scenario::Connections => &[("CPU a connection", cpu_a_request)],
        Scenario::Memory => &[("memory", memory_a_poll)],
        Scenario::Latency => &[("CPU a match", cpu_a_match), ("p99", p99)],
        Scenario::Start => &[("time", start_up)],
        Scenario::Idle => &[("CPU", cpu_share)],
        // Their tables are about one row each.
        Scenario::DayCalm | Scenario::DayShutdown => &[],
    }
}

fn without_changes(results: &Results) -> Table {
    let first = &results.rows[0];
    match results.scenario {
        Scenario::Match => table(
            results,
            "clients and proxies over",
            &[
                MATCHES_PER_SECOND,
                CPU_A_MATCH,
                ("the floor's", &|row| digits(0, row.floor(cpu_a_match))),
                ("the reference's", &|row| {
                    digits(0, row.reference(cpu_a_match))
                }),
                OVER_FLOOR,
                OVER_REFERENCE,
                P50,
                P99,
                REFERENCE_P99,
            ],
        ),
        Scenario::Connections => table(
            results,
            "a connection for each request",
            &[
                ("connections/s", &|row| {
                    digits(0, row.broker(requests_per_second))
                }),
                ("resumed, %", &|row| digits(0, row.broker(resumed))),
                ("CPU a connection, us", &|row| {
                    digits(0, row.broker(cpu_a_request))
                }),
                ("a second of CPU makes", &|row| {
                    digits(0, row.broker(cpu_a_request).map(|micros| 1e6 / micros))
                }),
                CPU_A_MATCH,
                OVER_FLOOR,
                OVER_REFERENCE,
            ],
        ),
        Scenario::Memory => table(
            results,
            "polls over",
            &[
                PARKED_POLLS,
                ("of the broker, KB each", &|row| {
                    digits(1, row.broker(memory_a_poll))
                }),
                ("of the floor, KB each", &|row| {
                    digits(1, row.floor(memory_a_poll))
                }),
                ("of the reference, KB each", &|row| {
                    digits(1, row.reference(memory_a_poll))
                }),
            ],
        ),
        Scenario::Growth => table(
            results,
            "while there are",
            &[
                CPU_A_MATCH,
                ("over the first row's", &|row| {
                    digits(2, row.over(first, cpu_a_match))
                }),
                MATCHES_PER_SECOND,
            ],
        ),
        Scenario::Latency => table(
            results,
            "there come",
            &[
                MATCHES_PER_SECOND,
                CPU_A_MATCH,
                P50,
                P99,
                P999,
                REFERENCE_P99,
            ],
        ),
        Scenario::Start => table(
            results,
            "start",
            &[("to the first response, ms", &|row| {
                digits(0, row.broker(start_up))
            })],
        ),
        Scenario::Idle => table(
            results,
            "while polls are parked",
            &[
                PARKED_POLLS,
                ("CPU, % of one processor", &|row| {
                    digits(1, row.broker(cpu_share).map(|share| share * 1e2))
                }),
            ],
        ),
        Scenario::DayCalm => day(first, &CALM),
        Scenario::DayShutdown => day(first, &SHUTDOWN),
    }
}

fn table(results: &Results, rows: &str, columns: &[Column<'_>]) -> Table {
    let names = columns.iter().map(|(name, _)| (*name).to_owned());
    let cells = |row: &Row| {
        let cells = columns
            .iter()
            .map(|(_, cell)| cell(row).unwrap_or_else(|| "-".to_owned()));
        [row.name.clone()].into_iter().chain(cells).collect()
    };
    Table {
        head: [rows.to_owned()].into_iter().chain(names).collect(),
        rows: results.rows.iter().map(cells).collect(),
    }
}

pub(crate) fn digits(digits: usize, figure: Option<f64>) -> Option<String> {
    Some(format!("{:.digits$}", figure?))
}

/// The large broker's published figures of a day, in percent.
struct Published {
    idle_polls: &'static str,
    matched: &'static str,
    timed_out: &'static str,
    denied: &'static str,
}

const CALM: Published = Published {
    idle_polls: "93 %",
    matched: "73 %",
    timed_out: "27 %",
    denied: "0 %",
};

const SHUTDOWN: Published = Published {
    idle_polls: "35 %",
    matched: "18.5 %",
    timed_out: "29 %",
    denied: "52 %",
};

fn day(row: &Row, published: &Published) -> Table {
    let run = &row.runs.broker[0];
    let share = |outcome: &str, all: &[&str]| {
        let all = all.iter().map(|outcome| count(run, outcome)).sum::<f64>();
        format!("{:.1} %", count(run, outcome) / all * 1e2)
    };
    let of_polls = |outcome| share(outcome, &["poll_idle", "poll_matched"]);
    let of_clients = |outcome| {
        share(
            outcome,
            &["client_matched", "client_timed_out", "client_denied"],
        )
    };
    let most = |figure: &dyn Fn(&crate::report::Sample) -> Option<f64>| {
        run.samples.iter().filter_map(figure).max_by(f64::total_cmp)
    };
    let cpu = |cpu: Option<f64>| cpu.map_or_else(String::new, |cpu| format!("{:.1} %", cpu * 1e2));
    let refused: f64 = [
        "client_refused",
        "client_failed",
        "poll_refused",
        "poll_failed",
    ]
    .map(|outcome| count(run, outcome))
    .iter()
    .sum();
    let line = |what: &str, published: &str, here: String| {
        vec![what.to_owned(), published.to_owned(), here]
    };
    let millis = |figure| digits(0, row.broker(figure)).unwrap_or_default() + " ms";
    Table {
        head: ["", "published", "here"].map(str::to_owned).into(),
        rows: vec![
            line(
                "polls that found no client",
                published.idle_polls,
                of_polls("poll_idle"),
            ),
            line(
                "clients matched",
                published.matched,
                of_clients("client_matched"),
            ),
            line(
                "clients timed out",
                published.timed_out,
                of_clients("client_timed_out"),
            ),
            line(
                "clients denied",
                published.denied,
                of_clients("client_denied"),
            ),
            line("requests refused or failed", "", format!("{refused}")),
            line(
                "from a client's request to its answer, p50",
                "",
                millis(p50),
            ),
            line("p99", "", millis(p99)),
            line("CPU, of one processor", "", cpu(row.broker(cpu_share))),
            line(
                "at the most",
                "",
                cpu(most(&|s| Some(s.cpu_seconds? / s.seconds))),
            ),
            line(
                "memory at the most",
                "",
                most(&|s| Some(to_float(s.memory?)))
                    .map_or_else(String::new, |bytes| format!("{:.0} MB", bytes / 1e6)),
            ),
        ],
    }
}

fn count(run: &Report, outcome: &str) -> f64 {
    run.outcomes.get(outcome).copied().map_or(0.0, to_float)
}
