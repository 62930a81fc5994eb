//! One simulation, from its seed to its outcome.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use snowflake_broker::matching;
use turmoil::Builder;

use crate::simulation::faults::{Faults, USUAL_DELAY};
use crate::simulation::invariants::Invariants;
use crate::simulation::plan::{BROKERS, LIAR, OVER, Plan, name};
use crate::simulation::tally::Tally;
use crate::simulation::{liar, node};

/// The time step of the network; timers are more precise.
const TICK: Duration = Duration::from_millis(30);
/// The interval of checks of the invariants.
const CHECK_PERIOD: Duration = Duration::from_millis(200);
/// The time for the brokers' last checks.
const LAST_LOOK: Duration = Duration::from_millis(1_200);
/// The probability that a failed link is back with the next message.
const REPAIR_RATE: f64 = 0.1;

/// Runs the simulation with this seed. Returns the first violation as an error.
pub(crate) fn simulate(seed: u64) -> Result<Tally, String> {
    let plan = Arc::new(Plan::new(seed));
    let invariants = Invariants::new(
        Arc::clone(&plan),
        matching::Settings::default().client_timeout,
    );
    let mut sim = Builder::new()
        .simulation_duration(OVER + LAST_LOOK + TICK)
        .tick_duration(TICK)
        .min_message_latency(USUAL_DELAY[0])
        .max_message_latency(USUAL_DELAY[1])
        .repair_rate(REPAIR_RATE)
        .enable_random_order()
        .rng_seed(seed)
        .build();
    for number in 0..BROKERS {
        let (plan, invariants) = (Arc::clone(&plan), invariants.clone());
        let seeds = Cell::new(Rng::with_seed(seed ^ number as u64).u64(..));
        sim.host(name(number), move || {
            seeds.set(seeds.get().wrapping_add(1));
            node::run(Arc::clone(&plan), number, invariants.clone(), seeds.get())
        });
    }
    let (lie, of_liar) = (plan.lie, invariants.clone());
    sim.host(LIAR, move || liar::run(lie, of_liar.clone(), seed));
    let mut faults = Faults::new(&plan);
    let mut next_check = CHECK_PERIOD;
    while sim.elapsed() < OVER + LAST_LOOK {
        faults.advance(&mut sim, &invariants);
        sim.step().map_err(|error| error.to_string())?;
        if sim.elapsed() >= next_check {
            invariants.check(sim.elapsed())?;
            next_check += CHECK_PERIOD;
        }
    }
    invariants.close(BROKERS)
}
