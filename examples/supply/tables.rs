//! The tables.

use crate::fleet::{CALM, DAYS, Day, Kind, QUIET, SCARCE, SHUTDOWN};
use crate::runs::{Figure, Runs};
use crate::scene::{Rule, Scene, Shares};
use crate::table::Table;
use crate::tally::Tally;

/// The rules, with their names.
pub(crate) fn rules() -> [(&'static str, Rule); 3] {
    [
        ("as they come", Rule::Arrival),
        ("one poll in 20 s", Rule::OnePoll),
        ("this broker", Rule::ours()),
    ]
}

/// The numbers of addresses of attackers.
const ADDRESSES: [usize; 3] = [1, 16, 256];

/// Honest proxies that have much in common.
pub(crate) const CROWDS: [(&str, usize, Kind); 4] = [
    ("20, every 20 s", 20, Kind::Obedient),
    ("20, every 5 s", 20, Kind::Standalone),
    ("200, every 20 s", 200, Kind::Obedient),
    ("200, every 5 s", 200, Kind::Standalone),
];

/// All tables, with their names.
pub(crate) fn all(runs: &Runs) -> Vec<(&'static str, Table)> {
    vec![
        ("attackers", attackers(runs)),
        ("clients", clients(runs)),
        ("crowds", crowds(runs)),
        ("settings", settings(runs)),
    ]
}

/// The attackers' share of offers, and of clients.
fn attackers(runs: &Runs) -> Table {
    let mut rows = Vec::new();
    for day in DAYS {
        for addresses in ADDRESSES {
            for (does, answers) in [("swallows", false), ("answers", true)] {
                let scene = |rule| Scene::of(day, rule).with_attack(addresses, answers);
                let mut row = vec![day.name.into(), addresses.to_string(), does.into()];
                row.extend(by_rule(|rule| {
                    runs.figure(scene(rule), Tally::attackers_share)
                }));
                let touched = runs.figure(scene(Rule::ours()), Tally::touched_share);
                row.push(touched.to_string());
                rows.push(row);
            }
        }
    }
    let mut head = head(&["day", "addresses", "attacker"]);
    head.push("this broker, of clients".into());
    Table { head, rows }
}

/// What becomes of the requests of clients, by this broker's rule.
fn clients(runs: &Runs) -> Table {
    let mut rows = Vec::new();
    for day in DAYS {
        let alone = Scene::of(day, Rule::ours());
        let attacks = ADDRESSES.into_iter().flat_map(|addresses| {
            [("swallow", false), ("answer", true)].map(|(does, answers)| {
                let name = format!("{addresses}, which {does}");
                (name, alone.with_attack(addresses, answers))
            })
        });
        for (name, scene) in std::iter::once(("none".to_owned(), alone)).chain(attacks) {
            let figure = |of: fn(&Tally) -> f64| runs.figure(scene, of).to_string();
            let denied_more = runs.compared([scene, alone], |with, without| {
                with.denied_share() - without.denied_share()
            });
            rows.push(vec![
                day.name.into(),
                name,
                figure(Tally::served_share),
                figure(Tally::timed_out_share),
                figure(Tally::denied_share),
                format!("{:+.2}", denied_more.mean * 1e2),
            ]);
        }
    }
    let head = [
        "day",
        "attackers' addresses",
        "served",
        "timed out",
        "denied",
        "points more denied",
    ];
    Table {
        head: head.map(str::to_owned).into(),
        rows,
    }
}

/// The share of their matches that crowds behind one address keep.
fn crowds(runs: &Runs) -> Table {
    let mut rows = Vec::new();
    for day in DAYS {
        for (name, proxies, kind) in CROWDS {
            let mut row = vec![day.name.into(), name.into()];
            row.extend(by_rule(|rule| kept(runs, day, rule, (proxies, kind))));
            rows.push(row);
        }
    }
    Table {
        head: head(&["day", "proxies"]),
        rows,
    }
}

/// The matches of proxies behind one address, as a share of those that they have with an
/// address each.
pub(crate) fn kept(runs: &Runs, day: Day, rule: Rule, (proxies, kind): (usize, Kind)) -> Figure {
    let scene = |shares_address| Scene::of(day, rule).with_crowd(proxies, kind, shares_address);
    runs.compared([scene(true), scene(false)], |together, apart| {
        f64::from(together.crowd_offers) / f64::from(apart.crowd_offers.max(1))
    })
}

/// What the settings are good for: the most that attackers get on any day of those that
/// decide, and what is left to an honest crowd.
fn settings(runs: &Runs) -> Table {
    let supply = Rule::ours().supply();
    let (first_come, a_minute) = (supply.first_come, supply.matches_per_minute);
    let variants = [
        (0, a_minute),
        (first_come / 2, a_minute),
        (first_come, a_minute),
        (2 * first_come, a_minute),
        (first_come, a_minute / 2),
        (first_come, 40),
    ];
    let rows = variants.map(|(first_come, matches_per_minute)| {
        let rule = Rule::Shares(Shares {
            first_come,
            recent_clients: supply.recent_clients,
            matches_per_minute,
        });
        let attackers = |day, addresses| {
            let scene = Scene::of(day, rule).with_attack(addresses, true);
            runs.figure(scene, Tally::attackers_share)
        };
        let crowd = |day| kept(runs, day, rule, (20, Kind::Obedient));
        vec![
            first_come.to_string(),
            matches_per_minute.to_string(),
            attackers(CALM, 1).to_string(),
            attackers(CALM, 16).to_string(),
            attackers(SCARCE, 1).to_string(),
            attackers(SCARCE, 16).to_string(),
            crowd(QUIET).to_string(),
            crowd(CALM).to_string(),
            crowd(SHUTDOWN).to_string(),
        ]
    });
    let head = [
        "`first_come`",
        "`matches_per_minute`",
        "1 address, calm",
        "16, calm",
        "1, scarce",
        "16, scarce",
        "20 proxies, calm 2025",
        "calm 2026",
        "shutdown",
    ];
    Table {
        head: head.map(str::to_owned).into(),
        rows: rows.into(),
    }
}

fn by_rule(figure: impl Fn(Rule) -> Figure) -> [String; 3] {
    rules().map(|(_, rule)| figure(rule).to_string())
}

fn head(first: &[&str]) -> Vec<String> {
    let rules = rules().map(|(name, _)| name);
    first
        .iter()
        .chain(&rules)
        .map(|&name| name.to_owned())
        .collect()
}
