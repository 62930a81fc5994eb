//! The parked polls, by pool, in the order in which they are served.

use std::collections::BTreeMap;

use crate::wire::nat::{NatClass, NatType};
use crate::wire::proxy::ProxyType;

use super::policy::pools_for;
use super::requests::PollKey;
use super::sessions::Poll;
use super::sources::TurnChange;
use super::turn_order::{Party, Turn, TurnOrder};

/// The rank of a poll among those of its source: by load (clients), then by arrival.
type PoolRank = (u64, u64);

/// The three pools.
#[derive(Debug, Default)]
pub(super) struct Pools {
    orders: [TurnOrder<PoolRank, PollKey>; NatClass::ALL.len()],
    counts: BTreeMap<ProxyType, [usize; NatType::ALL.len()]>,
}

impl Pools {
    /// Adds a poll whose source has this turn; `None` if it gets no client now.
    pub(super) fn insert(&mut self, turn: Option<Turn>, key: PollKey, poll: &Poll) {
        let order = self.order_of(poll);
        order.insert(turn, poll.party(), rank(poll), key);
        *self.count_of(poll) += 1;
    }

    pub(super) fn remove(&mut self, turn: Option<Turn>, poll: &Poll) {
        if self.order_of(poll).remove(turn, poll.party(), rank(poll)) {
            *self.count_of(poll) -= 1;
        }
    }

    pub(super) fn change_turn(&mut self, source: u64, change: TurnChange) {
        for (pool, order) in self.orders.iter_mut().enumerate() {
            let [from, to] = [change.from, change.to].map(|turns| turns.map(|turns| turns[pool]));
            if from != to {
                order.change_turn(Party::Of(source), from, to);
            }
        }
    }

    /// The first poll for a client of this class that it may have, from the first pool
    /// with one that has more than `reserve` polls.
    pub(super) fn best_for(
        &self,
        client: NatClass,
        reserve: usize,
        may_have: impl Fn(PollKey) -> bool,
    ) -> Option<PollKey> {
        let pools = pools_for(client).iter();
        let mut pools = pools.filter(|&&pool| self.len_of(pool) > reserve);
        pools.find_map(|&pool| {
            let mut firsts = self.orders[pool as usize].firsts();
            firsts.find(|&key| may_have(key))
        })
    }

    /// The first poll of a source in a pool, even if the source gets no client now.
    pub(super) fn first_of(&self, pool: NatClass, source: u64) -> Option<PollKey> {
        let first = self.orders[pool as usize].first_of(Party::Of(source));
        first.map(|(_, key)| key)
    }

    /// The number of polls in a pool.
    pub(super) fn len_of(&self, pool: NatClass) -> usize {
        self.orders[pool as usize].len()
    }

    pub(super) fn len(&self) -> usize {
        self.orders.iter().map(TurnOrder::len).sum()
    }

    pub(super) fn keys(&self) -> Vec<PollKey> {
        self.orders.iter().flat_map(TurnOrder::keys).collect()
    }

    /// Numbers of polls by type and NAT, without zeros.
    pub(super) fn counts(&self) -> Vec<(ProxyType, NatType, usize)> {
        let mut counts = Vec::new();
        for (&proxy_type, by_nat) in &self.counts {
            for (&count, nat) in by_nat.iter().zip(NatType::ALL) {
                if count > 0 {
                    counts.push((proxy_type, nat, count));
                }
            }
        }
        counts
    }

    fn order_of(&mut self, poll: &Poll) -> &mut TurnOrder<PoolRank, PollKey> {
        &mut self.orders[NatClass::of(poll.nat) as usize]
    }

    fn count_of(&mut self, poll: &Poll) -> &mut usize {
        let by_nat = self.counts.entry(poll.proxy_type).or_default();
        &mut by_nat[poll.nat as usize]
    }
}

fn rank(poll: &Poll) -> PoolRank {
    (poll.clients, poll.arrival)
}
