//! The text form of the impact on clients.

use crate::proto::admin::v1;

use super::figures;
use super::table::TextTable;

/// The sign for a missing figure.
const NONE: &str = "-";

/// A table of all clients, and one of the results of their matches with so many countries.
pub(in crate::admin_client) fn impact(impact: &v1::Impact, countries: usize) -> String {
    let [all, results] = [of_all(impact), results(impact, countries)];
    let start = figures::time(impact.start_time);
    format!("{all}\n{results}\nsince {start}; countries are rounded\n")
}

fn of_all(impact: &v1::Impact) -> TextTable {
    let mut table = TextTable::of_words();
    let tries = |tries: i64| match tries {
        0 => NONE.to_owned(),
        tries => tries.to_string(),
    };
    let decided = impact.episodes_served + impact.episodes_unserved;
    let unserved = match decided {
        0 => NONE.to_owned(),
        _ => figures::percent(impact.unserved_share),
    };
    for (what, value) in [
        (
            "clients in two minutes",
            format!(
                "{}, of whom {} are not served; {} at most",
                impact.recent_clients, impact.unserved_clients, impact.most_clients
            ),
        ),
        (
            "tries until served",
            format!(
                "{}, 95 %: {}",
                tries(impact.tries_p50),
                tries(impact.tries_p95)
            ),
        ),
        (
            "time until served",
            format!(
                "{}, 95 %: {}",
                figures::seconds(impact.until_served_p50),
                figures::seconds(impact.until_served_p95)
            ),
        ),
        (
            "not served in 2 min",
            format!(
                "{unserved} of {decided}; {} unknown",
                impact.episodes_unknown
            ),
        ),
    ] {
        table.row([what, &value]);
    }
    table
}

/// A row for each group with matches.
fn results(impact: &v1::Impact, countries: usize) -> TextTable {
    let mut table = TextTable::of_figures(1);
    table.row(["", "success", "worked", "failed", "unanswered", "unknown"]);
    let shown = impact.by_country.len().min(countries);
    for (kind, groups) in [
        ("NAT", &*impact.by_nat),
        ("rendezvous", &impact.by_rendezvous),
        ("type", &impact.by_type),
        ("country", &impact.by_country[..shown]),
    ] {
        for group in groups.iter().filter(|group| has_matches(group)) {
            let counts = [group.worked, group.failed, group.unanswered, group.unknown];
            let known = group.worked + group.failed + group.unanswered;
            let share = match known {
                0 => NONE.to_owned(),
                _ => figures::percent(group.success_share),
            };
            let name = format!("{kind} {}", group.name);
            let counts = counts.map(|count| count.to_string());
            table.row([name, share].into_iter().chain(counts));
        }
    }
    table
}

fn has_matches(group: &v1::MatchResults) -> bool {
    group.worked + group.failed + group.unanswered + group.unknown > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, [worked, failed, unanswered]: [i64; 3]) -> v1::MatchResults {
        let known = worked + failed + unanswered;
        v1::MatchResults {
            name: name.to_owned(),
            worked,
            failed,
            unanswered,
            success_share: f64::from(i32::try_from(worked).unwrap())
                / f64::from(i32::try_from(known.max(1)).unwrap()),
            ..v1::MatchResults::default()
        }
    }

    #[test]
    fn groups_without_matches_are_left_out() {
        let second = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let told = v1::Impact {
            start_time: Some(prost_types::Timestamp::default()),
            recent_clients: 54,
            unserved_clients: 9,
            most_clients: 120,
            episodes_served: 90,
            episodes_unserved: 10,
            episodes_unknown: 4,
            unserved_share: 0.1,
            tries_p50: 1,
            tries_p95: 5,
            until_served_p50: second(2),
            until_served_p95: second(48),
            by_nat: vec![
                group("strict, open", [6, 3, 1]),
                group("open, open", [0; 3]),
            ],
            by_country: vec![group("RU", [96, 32, 0]), group("IR", [8, 8, 0])],
            ..v1::Impact::default()
        };
        let expected = "clients in two minutes  54, of whom 9 are not served; 120 at most\n\
            tries until served      1, 95 %: 5\n\
            time until served       2.00 s, 95 %: 48.00 s\n\
            not served in 2 min     10.0 % of 100; 4 unknown\n\
            \n                  success  worked  failed  unanswered  unknown\n\
            NAT strict, open   60.0 %       6       3           1        0\n\
            country RU         75.0 %      96      32           0        0\n\
            \nsince 1970-01-01T00:00:00Z; countries are rounded\n";
        assert_eq!(impact(&told, 1), expected);
    }

    #[test]
    fn of_nobody_nothing_is_known() {
        let told = impact(&v1::Impact::default(), 10);
        assert!(
            told.contains("-, 95 %: -") && told.contains("- of 0; 0 unknown"),
            "{told}"
        );
    }
}
