//! Days of a large broker with proxies of which a third work badly: what the broker makes of
//! the outcomes, beside one that knows nothing and one that knows the truth.
//! `examples/learning.rs` has all of it, with many seeds; docs/matching.md has the results.

mod proxies;
mod scenes;
mod tally;
mod world;

use crate::supply::fleet::{self, CALM, DAYS, SCARCE, SHUTDOWN};
use scenes::{Knows, Scene};
use tally::Tally;
use world::World;

fn run(scene: Scene) -> Tally {
    World::new(scene).run()
}

/// The part of the way from knowing nothing to knowing the truth.
fn part_of_the_way(of: impl Fn(&Tally) -> f64, tallies: &[Tally; 3]) -> f64 {
    let [nothing, learns, truth] = tallies.each_ref().map(of);
    (nothing - learns) / (nothing - truth)
}

#[test]
fn outcomes_are_worth_half_of_the_truth() {
    for day in DAYS {
        let knows = [Knows::Nothing, Knows::Outcomes, Knows::Truth];
        let tallies = knows.map(|knows| run(Scene::long(day, knows)));
        let wasted = part_of_the_way(Tally::wasted, &tallies);
        let timed_out = part_of_the_way(Tally::timed_out_share, &tallies);
        assert!(wasted > 0.45, "{}: {wasted} of the wasted tries", day.name);
        assert!(
            timed_out > 0.5,
            "{}: {timed_out} of the time-outs",
            day.name
        );
        // Where most are denied, tries are for the most part those.
        let [nothing, learns, _] = tallies.each_ref().map(Tally::tries_each);
        let is_better = day.is_scarce() || learns < nothing;
        assert!(is_better, "{}: {learns} and {nothing} tries", day.name);
        for tally in tallies {
            let totals = tally.totals;
            let ended = totals.worked + totals.failed + totals.unknown;
            assert_eq!(totals.answered, ended, "{}", day.name);
        }
    }
}

#[test]
fn one_address_that_never_connects_gets_less_than_a_two_hundredth() {
    for day in [SCARCE, CALM] {
        let share = run(Scene::whole(day).with_attackers(1)).attackers_share();
        assert!(share < 0.005, "{}: {share}", day.name);
    }
}

#[test]
fn many_that_work_behind_one_address_keep_their_clients() {
    let kept = |shares_address| {
        let scene = Scene::whole(SHUTDOWN).with_crowd(20, shares_address);
        f64::from(run(scene).crowd_offers)
    };
    let kept = kept(true) / kept(false);
    assert!(kept > 0.95, "{kept}");
}

/// Twenty proxies had not connected for half an hour, and then work.
#[test]
fn mended_proxies_are_used_again_within_the_hour() {
    const MENDED: usize = 20;
    for day in DAYS {
        let scene = Scene::long(day, Knows::Outcomes).with_mended(MENDED);
        let tally = run(scene);
        let (clients, good) = (tally.mended_with_client, tally.mended_good);
        let name = day.name;
        println!("{name}: {clients:?} have had a client, {good:?} are good");
        assert!(clients[3] as usize == MENDED, "{name}: {clients:?}");
        assert!(good[3] as usize >= MENDED * 3 / 4, "{name}: {good:?}");
    }
}
