//! What waits, as gauges show it.

use std::time::Duration;

use super::families::{Families, Pool, Proxy};
use super::peers::PeerFigures;
use crate::wire::nat::{NatClass, NatType};
use crate::wire::proxy::ProxyType;

/// What waits when metrics are asked for, and what proxies are told then.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    /// How many polls of each type and NAT are parked, where there are any.
    pub parked: Vec<(ProxyType, NatType, usize)>,
    /// How many clients of each class are queued.
    pub queued: Vec<(NatClass, usize)>,
    /// How many clients wait for an answer.
    pub matched: usize,
    /// After how long the proxies of each pool are told to poll again.
    pub poll_intervals: Vec<(NatClass, Duration)>,
    /// The brokers that can be asked when this one has no proxy.
    pub peers: Vec<PeerFigures>,
}

impl Families {
    /// Sets the gauges to what waits.
    pub(super) fn show(&self, waiting: &Waiting) {
        for nat in NatType::ALL {
            for r#type in ProxyType::ALL {
                let count = sum(&waiting.parked, |(other, nat_type, _)| {
                    *other == r#type && *nat_type == nat
                });
                let labels = Proxy { nat, r#type };
                self.available_proxies.get_or_create(&labels).set(count);
            }
        }
        for pool in NatClass::ALL {
            let labels = Pool { pool };
            let parked = sum(&waiting.parked, |(_, nat, _)| NatClass::of(*nat) == pool);
            self.parked_polls.get_or_create(&labels).set(parked);
            let queued = waiting.queued.iter().find(|(class, _)| *class == pool);
            let queued = queued.map_or(0, |(_, count)| gauge(*count));
            self.queued_clients.get_or_create(&labels).set(queued);
        }
        self.matched_clients.set(gauge(waiting.matched));
        for &(pool, interval) in &waiting.poll_intervals {
            let gauge = self.poll_interval.get_or_create(&Pool { pool });
            gauge.set(interval.as_secs_f64());
        }
        self.show_peers(&waiting.peers);
    }
}

type Parked = (ProxyType, NatType, usize);

fn sum(parked: &[Parked], wanted: impl Fn(&Parked) -> bool) -> i64 {
    let wanted = parked.iter().filter(|parked| wanted(parked));
    gauge(wanted.map(|(_, _, count)| count).sum())
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
