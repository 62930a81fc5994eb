//! Days of a large broker in virtual time: what attackers get who poll as often as they can,
//! and what is left to honest proxies and clients. `examples/supply.rs` has all of it, with
//! many seeds; docs/matching.md has the results.

pub(crate) mod fleet;
mod people;
mod proxies;
mod scene;
mod tally;
mod world;

use std::time::Duration;

use fleet::{CALM, DAYS, Day, Kind, QUIET, SCARCE, SHUTDOWN};
use scene::{Rule, Scene};
use tally::Tally;
use world::World;

/// Minutes of a day: a single one where only the limits of a minute matter, and on calm days
/// two of the times in which a pool has `recent_clients`.
fn brief(day: Day, rule: Rule) -> Scene {
    let minutes = if day.is_scarce() { 1 } else { 4 };
    Scene {
        warm_up: Duration::from_mins(1),
        counted: Duration::from_mins(minutes),
        ..Scene::of(day, rule)
    }
}

fn run(scene: Scene) -> Tally {
    World::new(scene).run()
}

/// The simulated days have the published polls and requests.
#[test]
fn the_days_are_as_published() {
    for day in [CALM, SHUTDOWN] {
        let scene = brief(day, Rule::ours());
        let tally = run(scene);
        let a_second = |count| f64::from(count) / scene.counted.as_secs_f64();
        let is_near = |is: f64, published: f64| (is / published - 1.0).abs() < 0.07;
        let (polls, requests) = (a_second(tally.polls), a_second(tally.requests()));
        assert!(is_near(polls, day.open_polls()), "{}: {polls}", day.name);
        let published = day.strict_clients();
        assert!(is_near(requests, published), "{}: {requests}", day.name);
        let outcomes = tally.served_share() + tally.timed_out_share() + tally.denied_share();
        assert!((outcomes - 1.0).abs() < 1e-9, "{}: {outcomes}", day.name);
    }
}

#[test]
fn one_address_gets_less_than_a_hundredth_of_the_clients() {
    for day in DAYS {
        let tally = run(brief(day, Rule::ours()).with_attack(1, true));
        let share = tally.attackers_share();
        assert!(share < 0.01, "{}: {share}", day.name);
        let touched = tally.touched_share();
        assert!(touched < 0.02, "{}: {touched} of all clients", day.name);
    }
}

/// The attack works against a broker that does not know where polls come from.
#[test]
fn without_shares_one_address_gets_more_than_a_fifth() {
    let tally = run(brief(SHUTDOWN, Rule::Arrival).with_attack(1, false));
    let share = tally.attackers_share();
    assert!(share > 0.2, "{share}");
}

#[test]
fn sixteen_addresses_get_less_than_an_eighth_of_the_clients() {
    // They act in step, in bursts, so that it takes a while until these even out.
    let calm = Scene {
        warm_up: Duration::from_mins(4),
        counted: Duration::from_mins(7),
        ..brief(CALM, Rule::ours())
    };
    // Where every poll gets a client, only the clients a minute are limited.
    let scarce = brief(SCARCE, Rule::ours());
    for scene in [calm, scarce] {
        let share = run(scene.with_attack(16, true)).attackers_share();
        assert!(share < 0.125, "{}: {share}", scene.day.name);
    }
}

#[test]
fn attackers_have_nobody_else_denied() {
    let denied = |scene| run(scene).denied_share();
    let alone = brief(SCARCE, Rule::ours());
    let [without, with] = [alone, alone.with_attack(16, false)].map(denied);
    assert!(with < without + 0.005, "{with} instead of {without}");
}

/// The share of matches that 20 proxies keep if they are behind one address.
fn kept(day: Day, rule: Rule) -> f64 {
    let offers = |shares_address| {
        let scene = brief(day, rule).with_crowd(20, Kind::Obedient, shares_address);
        f64::from(run(scene).crowd_offers)
    };
    offers(true) / offers(false)
}

/// As long as the broker does not know that they work (`learning`).
#[test]
fn honest_proxies_behind_one_address_keep_a_part_of_their_matches() {
    for (day, least) in [(QUIET, 0.5), (CALM, 0.35), (SHUTDOWN, 0.25)] {
        let kept = kept(day, Rule::ours());
        assert!(kept > least, "{}: {kept}", day.name);
    }
}

/// The reference broker's next rule is hard on them.
#[test]
fn with_one_poll_of_an_address_they_keep_little() {
    let kept = kept(QUIET, Rule::OnePoll);
    assert!(kept < 0.2, "{kept}");
}
