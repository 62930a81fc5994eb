//! The tables.

use std::thread;
use std::time::Duration;

use crate::fleet::{DAYS, Day};
use crate::scenes::{Knows, Scene};
use crate::table::Table;
use crate::tally::Tally;
use crate::world::World;

/// What the broker knows, with the names of it.
const KNOWS: [(&str, Knows); 3] = [
    ("nothing", Knows::Nothing),
    ("outcomes", Knows::Outcomes),
    ("the truth", Knows::Truth),
];

/// All tables, with their names. Each figure is the mean of this many runs.
pub(crate) fn all(seeds: u64, is_brief: bool) -> Vec<(&'static str, Table)> {
    let mean = |scene: Scene, of: fn(&Tally) -> f64| {
        let scene = if is_brief { brief(scene) } else { scene };
        mean(seeds, scene, of)
    };
    vec![("learning", learning(mean)), ("learnt", learnt(mean))]
}

/// The wasted tries and time-outs, by what the broker knows.
fn learning(mean: impl Fn(Scene, fn(&Tally) -> f64) -> f64) -> Table {
    let mut rows = Vec::new();
    for day in DAYS {
        for (name, knows) in KNOWS {
            let scene = Scene::long(day, knows);
            rows.push(vec![
                day.name.into(),
                name.into(),
                format!("{:.2}", mean(scene, Tally::wasted)),
                format!("{:.1} %", 100.0 * mean(scene, Tally::timed_out_share)),
                format!("{:.2}", mean(scene, Tally::tries_each)),
            ]);
        }
    }
    let head = [
        "day",
        "the broker knows",
        "wasted tries",
        "timed out",
        "tries",
    ];
    Table {
        head: head.map(Into::into).into(),
        rows,
    }
}

/// The shares of attackers, and of proxies that work behind one address.
fn learnt(mean: impl Fn(Scene, fn(&Tally) -> f64) -> f64) -> Table {
    let row = |day: Day| {
        let scene = Scene::whole(day);
        let attackers = |count| 100.0 * mean(scene.with_attackers(count), Tally::attackers_share);
        let crowd = |shares| {
            mean(scene.with_crowd(20, shares), |tally| {
                f64::from(tally.crowd_offers)
            })
        };
        vec![
            day.name.into(),
            format!("{:.2} %", attackers(1)),
            format!("{:.1} %", attackers(16)),
            format!("{:.0} %", 100.0 * crowd(true) / crowd(false).max(1.0)),
        ]
    };
    let head = [
        "day",
        "1 address that answers",
        "16 that answer",
        "20 proxies behind one address keep",
    ];
    Table {
        head: head.map(Into::into).into(),
        rows: DAYS.into_iter().map(row).collect(),
    }
}

fn brief(scene: Scene) -> Scene {
    Scene {
        warm_up: Duration::from_secs(1),
        counted: Duration::from_secs(1),
        ..scene
    }
}

fn mean(seeds: u64, scene: Scene, of: fn(&Tally) -> f64) -> f64 {
    let figures: f64 = thread::scope(|scope| {
        let run = |seed| scope.spawn(move || World::new(Scene { seed, ..scene }).run());
        let threads: Vec<_> = (1..=seeds).map(run).collect();
        let results = threads.into_iter().map(thread::ScopedJoinHandle::join);
        results.map(|run| of(&run.expect("no thread panics"))).sum()
    });
    figures / seeds_as_f64(seeds)
}

fn seeds_as_f64(seeds: u64) -> f64 {
    f64::from(u32::try_from(seeds).unwrap_or(u32::MAX))
}
