//! The people who want to be served, and come back until they are.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use snowflake_broker::wire::nat::NatType;

/// The share of clients who come back if they are not served. The others give up.
const RETURNS: f64 = 0.9;
/// The time after which a client comes back, in seconds.
const PAUSE: Range<f64> = 8.0..40.0;
/// The time after which nobody comes back who was here before the start.
pub(crate) const GHOSTS_UNTIL: Duration = Duration::from_secs(40);
/// The number of networks of clients.
const NETWORKS: u64 = 500;

/// A person with a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    pub(crate) network: u64,
    pub(crate) is_strict: bool,
    was_seen: bool,
    was_touched: bool,
}

impl Person {
    pub(crate) fn nat(self) -> NatType {
        if self.is_strict {
            NatType::Strict
        } else {
            NatType::Open
        }
    }
}

/// All who came so far.
#[derive(Debug, Default)]
pub(crate) struct People(Vec<Person>);

impl People {
    /// The share of requests that are the first of their clients, if that many are not
    /// served.
    pub(crate) fn share_of_new(unserved: f64) -> f64 {
        1.0 - unserved * RETURNS
    }

    pub(crate) fn add(&mut self, is_strict: bool, random: &mut Rng) -> usize {
        self.0.push(Person {
            network: random.u64(..NETWORKS),
            is_strict,
            was_seen: false,
            was_touched: false,
        });
        self.0.len() - 1
    }

    pub(crate) fn of(&self, person: usize) -> Person {
        self.0[person]
    }

    /// Notes that one of the person's requests is counted.
    pub(crate) fn seen(&mut self, person: usize) {
        self.0[person].was_seen = true;
    }

    /// Notes that an attacker had the person's offer.
    pub(crate) fn touched(&mut self, person: usize) {
        self.0[person].was_touched = true;
    }

    /// The numbers of strict clients seen, and of those touched.
    pub(crate) fn counts(&self) -> (u32, u32) {
        let strict = self.0.iter().filter(|person| person.is_strict);
        let seen = strict.filter(|person| person.was_seen);
        seen.fold((0, 0), |(seen, touched), person| {
            (seen + 1, touched + u32::from(person.was_touched))
        })
    }
}

/// The time after which a client comes back that was not served; `None` if it gives up.
pub(crate) fn returns(random: &mut Rng) -> Option<Duration> {
    let seconds = PAUSE.start + random.f64() * (PAUSE.end - PAUSE.start);
    (random.f64() < RETURNS).then(|| Duration::from_secs_f64(seconds))
}

/// Returns true as often as a request that comes back at this time was made before the start.
pub(crate) fn may_be_ghost(now: Duration, random: &mut Rng) -> bool {
    let passed = now.as_secs_f64() - PAUSE.start;
    random.f64() >= passed / (PAUSE.end - PAUSE.start)
}
