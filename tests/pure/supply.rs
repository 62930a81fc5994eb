//! What attackers get who poll as often as they can: days of a large broker, in virtual time.
//!
//! Of the published days of the largest broker (daily means) a calm one had 447 polls a
//! second, and a day of a shutdown 614, with 13 to 18 % from proxies that everybody can
//! reach. These alone serve the clients here, who are all behind strict NATs.

mod world;

use world::{Day, World};

/// A day with more polls than clients.
const CALM: Day = Day {
    honest_sources: 1_900,
    clients_a_second: 50.0,
};

/// A day on which most clients get no proxy, so that every poll gets a client at once.
const SHUTDOWN: Day = Day {
    honest_sources: 1_900,
    clients_a_second: 400.0,
};

#[test]
fn one_address_gets_less_than_a_hundredth_of_the_clients() {
    for day in [CALM, SHUTDOWN] {
        let share = World::new(day, 1).run();
        println!("{day:?}, 1: {share}");
        assert!(share < 0.01, "{day:?}: {share}");
    }
}

#[test]
fn sixteen_addresses_get_less_than_an_eighth_of_the_clients() {
    for day in [CALM, SHUTDOWN] {
        let share = World::new(day, 16).run();
        println!("{day:?}, 16: {share}");
        assert!(share < 0.12, "{day:?}: {share}");
    }
}

/// The attack works against a broker that does not know where polls come from.
#[test]
fn without_sources_one_address_gets_a_quarter() {
    for day in [CALM, SHUTDOWN] {
        let share = World::without_sources(day, 1).run();
        println!("{day:?}, without: {share}");
        assert!(share > 0.2, "{day:?}: {share}");
    }
}
