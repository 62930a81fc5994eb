//! A simulation of the adaptive poll interval on days of the large broker: the real
//! engine and the real controller, with simulated proxies and clients.

mod day;
mod world;

use std::time::Duration;

use snowflake_broker::broker::{Mode, PollInterval};
use snowflake_broker::matching::Settings;

use day::{CALM_2025, CALM_2026, DAYS, Day, SHUTDOWN_2025, SHUTDOWN_2026};
use world::{SCALE, Setup, Tally, World};

const SEED: u64 = 4;
/// The time until the fleet and the controller have settled.
const WARM_UP: Duration = Duration::from_mins(20);
/// The time that is counted.
const SPAN: Duration = Duration::from_mins(30);
/// The random deviation of shares of a few thousand clients.
const CHANCE: f64 = 0.01;

fn setup(day: Day, mode: Mode) -> Setup {
    let large = PollInterval::default();
    Setup {
        day,
        matching: Settings::default(),
        poll_interval: PollInterval {
            mode,
            min_parked_polls: large.min_parked_polls / SCALE,
            ..large
        },
        deaf: 0.0,
    }
}

fn settled(setup: Setup) -> World {
    let mut world = World::new(setup, SEED);
    world.pass(WARM_UP);
    world
}

fn fixed_and_adaptive(day: Day) -> [Tally; 2] {
    [Mode::Fixed, Mode::Adaptive].map(|mode| settled(setup(day, mode)).pass(SPAN))
}

/// Like the reference broker, which offers no client twice and queues none.
#[test]
fn the_days_come_out_as_published() {
    for day in DAYS {
        let mut setup = setup(day, Mode::Fixed);
        setup.matching.max_attempts = 1;
        setup.matching.client_queue_wait = Duration::ZERO;
        let tally = settled(setup).pass(SPAN);
        let polls = tally.polls_a_second();
        let idle = tally.idle / tally.polls;
        let denied = tally.denied_share();
        println!(
            "{}: {polls:.0} polls/s, {idle:.2} idle, {denied:.2} denied",
            day.name
        );
        assert!((polls / day.polls - 1.0).abs() < 0.03, "{polls} {day:?}");
        assert!((idle - day.idle).abs() < 0.06, "{idle} {day:?}");
        assert!((denied - day.denied).abs() < 0.04, "{denied} {day:?}");
    }
}

#[test]
fn calm_days_take_60_percent_fewer_polls_and_deny_nobody_more() {
    for day in [CALM_2025, CALM_2026] {
        let [fixed, adaptive] = fixed_and_adaptive(day);
        println!("{}: {fixed:.0?} {adaptive:.0?}", day.name);
        assert!(adaptive.polls < 0.4 * fixed.polls, "{fixed:?} {adaptive:?}");
        assert!(adaptive.denied <= fixed.denied, "{fixed:?} {adaptive:?}");
        let (before, after) = (fixed.timed_out_share(), adaptive.timed_out_share());
        assert!(after < before + CHANCE, "{fixed:?} {adaptive:?}");
    }
}

#[test]
fn shutdown_days_match_no_fewer_clients() {
    for day in [SHUTDOWN_2025, SHUTDOWN_2026] {
        let [fixed, adaptive] = fixed_and_adaptive(day);
        println!("{}: {fixed:.0?} {adaptive:.0?}", day.name);
        assert!(adaptive.matched >= fixed.matched, "{fixed:?} {adaptive:?}");
    }
}

/// Proxies that were told a long interval return late: in the first minute more clients
/// are denied than with fixed intervals, in ten minutes no more.
#[test]
fn when_clients_jump_tenfold_the_floor_is_told_within_a_minute() {
    for day in [CALM_2025, CALM_2026] {
        let matched = [Mode::Fixed, Mode::Adaptive].map(|mode| {
            let mut world = settled(setup(day, mode));
            world.multiply_clients(10.0);
            let first = world.pass(Duration::from_mins(1));
            if mode == Mode::Adaptive {
                let told = world.intervals();
                assert!(told.iter().all(|told| *told < 10.001), "{told:?} {day:?}");
            }
            let later = world.pass(Duration::from_mins(9));
            let denied = [first, later].map(|tally| tally.denied_share());
            println!("{} {mode:?}: {denied:.2?} denied", day.name);
            first.matched + later.matched
        });
        let [fixed, adaptive] = matched;
        assert!(adaptive >= 0.97 * fixed, "{day:?}: {fixed} {adaptive}");
    }
}

/// Old proxies ignore the interval.
#[test]
fn a_fleet_of_which_half_does_not_listen_denies_nobody_more() {
    for day in [CALM_2025, CALM_2026] {
        let fixed = settled(setup(day, Mode::Fixed)).pass(SPAN);
        let half_deaf = Setup {
            deaf: 0.5,
            ..setup(day, Mode::Adaptive)
        };
        let adaptive = settled(half_deaf).pass(SPAN);
        println!("{}: {fixed:.0?} {adaptive:.0?}", day.name);
        assert!(adaptive.polls < 0.7 * fixed.polls, "{fixed:?} {adaptive:?}");
        assert!(adaptive.denied <= fixed.denied, "{fixed:?} {adaptive:?}");
    }
}

#[test]
fn a_restart_finds_its_way_back() {
    for day in [CALM_2025, CALM_2026] {
        let mut world = settled(setup(day, Mode::Adaptive));
        let before = world.pass(SPAN);
        world.restart();
        println!("{} {:?} after a restart", day.name, world.intervals());
        let meanwhile = world.pass(Duration::from_mins(10));
        let after = world.pass(SPAN);
        println!("{before:.0?} {meanwhile:.0?} {after:.0?}");
        assert!(
            (after.polls / before.polls - 1.0).abs() < 0.1,
            "{before:?} {after:?}"
        );
        for tally in [meanwhile, after] {
            assert!(tally.denied_share() < before.denied_share() + CHANCE);
        }
    }
}

/// Without clients, after a restart that made all proxies return at once.
#[test]
fn jitter_spreads_a_fleet_that_comes_all_at_once() {
    for (jitter, spreads) in [(None, false), (Some(0.1), true)] {
        let mut setup = setup(CALM_2025, Mode::Fixed);
        setup.day.clients = 1e-9;
        setup.poll_interval.jitter = jitter;
        let mut world = World::in_step(setup, SEED);
        world.pass(WARM_UP);
        let seconds = (0..60).map(|_| world.pass(Duration::from_secs(1)).polls);
        let busiest = seconds.fold(0.0, f64::max) / world.proxies();
        println!("jitter {jitter:?}: {busiest:.2} of all in the busiest second");
        assert_eq!(busiest < 0.1, spreads, "{busiest}");
    }
}
