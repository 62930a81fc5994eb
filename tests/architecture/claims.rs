//! The promises of the pages on threats, privacy and reliability: each row of their tables names tests
//! that show it, and each figure has its source.

#[path = "claims/figures.rs"]
mod figures;
#[path = "claims/pages.rs"]
mod pages;
#[path = "claims/test_names.rs"]
mod test_names;

use std::collections::BTreeMap;

use pages::{Cell, Part, Table};
use test_names::{Kind, Tests};

const PAGES: [&str; 3] = [
    "docs/threat-model.md",
    "docs/privacy.md",
    "docs/reliability.md",
];

/// The heading of the column that names tests, as in `pure supply::some_test`.
const TESTS: &str = "shown by";
/// The headings of columns with figures, each with its source behind it.
const FIGURES: [&str; 3] = ["figures", "for how long", "how far it goes"];

/// The tables that promise nothing, by their first headings.
const NO_PROMISES: [(&str, &str); 4] = [
    ("docs/threat-model.md", "weakness"),
    ("docs/privacy.md", "path"),
    ("docs/reliability.md", "what"),
    ("docs/reliability.md", ""),
];

/// What a row has in place of tests if it only says what somebody learns.
const NOTHING: &str = "-";
/// The heading of the column that such a row leaves empty.
const PROMISE: &str = "and not";

#[test]
fn every_promise_names_tests_that_exist() {
    let mut programs = BTreeMap::new();
    let mut wrong = Vec::new();
    for table in promises() {
        for (place, fault) in rows_without_tests(&table) {
            wrong.push(format!("{place}: {fault}"));
        }
        for (place, cell) in table.column(TESTS).unwrap() {
            for name in named(cell) {
                let fault = fault_of_test(name, &mut programs);
                wrong.extend(fault.map(|fault| format!("{place}: {fault}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_figure_is_that_of_its_source() {
    let settings = settings();
    let mut wrong = Vec::new();
    for table in PAGES.into_iter().flat_map(pages::tables) {
        let columns = FIGURES.iter().filter_map(|heading| table.column(heading));
        for (place, cell) in columns.flatten() {
            let faults = figures::faults(cell, &settings).into_iter();
            wrong.extend(faults.map(|fault| format!("{place}: {fault}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The tables of promises, of which each page has some.
fn promises() -> Vec<Table> {
    let mut promises = Vec::new();
    for page in PAGES {
        let (tested, others): (Vec<_>, Vec<_>) = pages::tables(page)
            .into_iter()
            .partition(|table| table.headings.iter().any(|heading| heading == TESTS));
        assert!(!tested.is_empty(), "{page} names no tests");
        for table in &tested {
            let mut headings = table.headings.iter();
            let has_others = headings.any(|it| it == PROMISE || FIGURES.contains(&it.as_str()));
            assert!(has_others, "{page}: {:?}", table.headings);
        }
        for table in others {
            let first = &table.headings[0];
            assert!(
                NO_PROMISES.contains(&(page, first.as_str())),
                "{page}: {first:?} names no tests"
            );
        }
        promises.extend(tested);
    }
    promises
}

/// Rows that promise something and name no test, or more than tests.
fn rows_without_tests(table: &Table) -> Vec<(&str, &'static str)> {
    let promise = table.headings.iter().position(|heading| heading == PROMISE);
    let mut faults = Vec::new();
    for (row, (place, tests)) in table.rows.iter().zip(table.column(TESTS).unwrap()) {
        let is_admission = promise.is_some_and(|at| pages::words(&row.cells[at]) == NOTHING);
        let is_none = pages::words(tests) == NOTHING;
        if named(tests).next().is_none() && !(is_admission && is_none) {
            faults.push((place, "names no test"));
        } else if has_words(tests) && !is_none {
            faults.push((place, "has more than names of tests"));
        }
    }
    faults
}

/// Whether there is more than commas between the names.
fn has_words(cell: &Cell) -> bool {
    let is_words = |part: &Part| matches!(part, Part::Text(text) if text.trim() != ",");
    cell.iter().any(is_words)
}

fn named(cell: &Cell) -> impl Iterator<Item = &str> {
    cell.iter().filter_map(|part| match part {
        Part::Code(name) => Some(name.as_str()),
        Part::Text(_) | Part::Comment(_) => None,
    })
}

/// The reason why this names no test that is run.
fn fault_of_test(name: &str, programs: &mut BTreeMap<String, Tests>) -> Option<String> {
    let Some((program, path)) = name.split_once(' ') else {
        return Some(format!("{name} names no program"));
    };
    let of_program = || test_names::of_program(program);
    let tests = programs
        .entry(program.to_owned())
        .or_insert_with(of_program);
    match tests.get(path) {
        Some(Kind::Plain) => None,
        Some(Kind::Ignored) => Some(format!("{name} is ignored")),
        Some(Kind::Conditional) => Some(format!("{name} is not in every build")),
        None => Some(format!("{name} is no test")),
    }
}

/// The defaults of all settings, which another test holds to the code.
fn settings() -> BTreeMap<String, String> {
    let tables = pages::tables("docs/settings.md");
    let rows = tables.iter().flat_map(|table| &table.rows);
    rows.map(|row| (pages::words(&row.cells[0]), pages::words(&row.cells[1])))
        .collect()
}

#[test]
fn names_of_tests_that_are_gone_are_faults() {
    let mut programs = BTreeMap::new();
    let mut fault = |name: &str| fault_of_test(name, &mut programs);
    let own = "pure architecture::claims::names_of_tests_that_are_gone_are_faults";
    assert_eq!(fault(own), None);
    for wrong in [
        "pure architecture::claims::settings",
        "pure names_of_tests_that_are_gone_are_faults",
        "nothing architecture::claims::names_of_tests_that_are_gone_are_faults",
        "architecture::claims::names_of_tests_that_are_gone_are_faults",
    ] {
        assert!(fault(wrong).is_some(), "{wrong}");
    }
}
