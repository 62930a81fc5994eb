//! The schedule of faults in the network and the brokers.

use std::time::Duration;

use fastrand::Rng;
use turmoil::Sim;

use crate::simulation::invariants::Invariants;
use crate::simulation::plan::{BROKERS, CONNECTED, MENDED, Plan, name};
use crate::simulation::workload::millis;

/// The minimum and maximum delay of a message on a good link.
pub(crate) const USUAL_DELAY: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(80)];
/// The probability per message that a bad link begins to lose all messages.
const BAD_LINK: f64 = 0.03;

/// The time during which faults begin.
const SPAN: Duration = MENDED.saturating_sub(CONNECTED);

/// A fault between two brokers, or of the first of them.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// No messages get through.
    Cut,
    /// No messages get through from the first to the second.
    CutOneWay,
    /// Messages are held and arrive at the end.
    Hold,
    /// Messages arrive later by this time.
    Delay(Duration),
    /// The link fails repeatedly, and loses messages in transit.
    Lose,
    /// The first broker crashes, and starts again.
    Crash,
    /// The first broker is cut off from all others.
    Isolate,
}

#[derive(Clone, Debug)]
struct Fault {
    kind: Kind,
    ends: [String; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Begins,
    Ends,
}

/// The faults to come, in reverse order.
pub(crate) struct Faults(Vec<(Duration, Turn, Fault)>);

impl Faults {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut rng = Rng::with_seed(!plan.seed);
        let mut faults = Vec::new();
        for _ in 0..rng.usize(2..8) {
            let fault = Fault::any(&mut rng);
            let begin = CONNECTED + SPAN.mul_f64(rng.f64());
            let end = (begin + millis(&mut rng, 200, 6_000)).min(MENDED);
            faults.push((begin, Turn::Begins, fault.clone()));
            faults.push((end, Turn::Ends, fault));
        }
        faults.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        Self(faults)
    }

    /// Applies the faults that are due.
    pub(crate) fn advance(&mut self, sim: &mut Sim<'_>, invariants: &Invariants) {
        let now = sim.elapsed();
        while let Some((_, turn, fault)) = self.0.pop_if(|(at, ..)| *at <= now) {
            match turn {
                Turn::Begins => {
                    invariants.fault();
                    fault.begin(sim, invariants);
                }
                Turn::Ends => fault.end(sim),
            }
        }
    }
}

impl Fault {
    fn any(rng: &mut Rng) -> Self {
        let kind = match rng.usize(..7) {
            0 => Kind::Cut,
            1 => Kind::CutOneWay,
            2 => Kind::Hold,
            3 => Kind::Delay(millis(rng, 200, 2_000)),
            4 => Kind::Lose,
            5 => Kind::Crash,
            _ => Kind::Isolate,
        };
        let first = rng.usize(..BROKERS);
        let second = (first + rng.usize(1..BROKERS)) % BROKERS;
        let ends = [name(first), name(second)];
        Self { kind, ends }
    }

    fn others(&self) -> impl Iterator<Item = String> {
        let all = (0..BROKERS).map(name);
        all.filter(|other| *other != self.ends[0])
    }

    fn begin(&self, sim: &mut Sim<'_>, invariants: &Invariants) {
        let [a, b] = self.ends.each_ref().map(String::as_str);
        match self.kind {
            Kind::Cut => sim.partition(a, b),
            Kind::CutOneWay => sim.partition_oneway(a, b),
            Kind::Hold => sim.hold(a, b),
            Kind::Delay(delay) => sim.set_link_latency(a, b, delay),
            Kind::Lose => sim.set_link_fail_rate(a, b, BAD_LINK),
            Kind::Crash => {
                invariants.crashed(a);
                sim.crash(a);
            }
            Kind::Isolate => self.others().for_each(|other| sim.partition(a, other)),
        }
    }

    fn end(&self, sim: &mut Sim<'_>) {
        let [a, b] = self.ends.each_ref().map(String::as_str);
        match self.kind {
            Kind::Cut => sim.repair(a, b),
            Kind::CutOneWay => sim.repair_oneway(a, b),
            Kind::Hold => sim.release(a, b),
            Kind::Delay(_) => sim.set_link_latency(a, b, USUAL_DELAY[0]),
            Kind::Lose => {
                sim.set_link_fail_rate(a, b, 0.0);
                sim.repair(a, b);
            }
            Kind::Crash => {
                if !sim.is_host_running(a) {
                    sim.bounce(a);
                }
            }
            Kind::Isolate => self.others().for_each(|other| sim.repair(a, other)),
        }
    }
}
