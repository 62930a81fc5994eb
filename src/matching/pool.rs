//! The parked polls, by pool, in the order in which they are served.

use std::collections::BTreeMap;

use crate::wire::nat::{NatClass, NatType};
use crate::wire::proxy::ProxyType;

use super::policy::pools_for;
use super::requests::PollKey;
use super::sessions::Poll;
use super::sources::{SourceTable, TurnChange};
use super::standing::{PoolRank, SourceKey};
use super::turn_order::{Turn, TurnOrder};

/// The three pools.
#[derive(Debug, Default)]
pub(super) struct Pools {
    orders: [TurnOrder<PoolRank, PollKey>; NatClass::ALL.len()],
    counts: BTreeMap<ProxyType, [usize; NatType::ALL.len()]>,
}

impl Pools {
    /// Adds a poll, to those of its source, too.
    pub(super) fn insert(&mut self, sources: &mut SourceTable, key: PollKey, poll: &Poll) {
        let class = NatClass::of(poll.nat);
        let order = &mut self.orders[class as usize];
        if let Some(source) = poll.source {
            let turn = sources.turn_in(source.key, class);
            if let Some(polls) = sources.polls_mut(source.key, class) {
                order.insert(turn, polls, rank(poll), key);
            }
        } else {
            order.insert_alone(Turn::FIRST_COME, rank(poll), key);
        }
        *self.count_of(poll) += 1;
    }

    pub(super) fn remove(&mut self, sources: &mut SourceTable, poll: &Poll) {
        let class = NatClass::of(poll.nat);
        let order = &mut self.orders[class as usize];
        let was_there = if let Some(source) = poll.source {
            let turn = sources.turn_in(source.key, class);
            let polls = sources.polls_mut(source.key, class);
            polls.is_some_and(|polls| order.remove(turn, polls, rank(poll)))
        } else {
            order.remove_alone(Turn::FIRST_COME, rank(poll))
        };
        if was_there {
            *self.count_of(poll) -= 1;
        }
    }

    pub(super) fn change_turn(
        &mut self,
        sources: &SourceTable,
        source: SourceKey,
        change: TurnChange,
    ) {
        for pool in NatClass::ALL {
            let [from, to] =
                [change.from, change.to].map(|turns| turns.map(|turns| turns[pool as usize]));
            if from != to
                && let Some(polls) = sources.polls(source, pool)
            {
                self.orders[pool as usize].change_turn(polls, from, to);
            }
        }
    }

    /// The first poll for a client of this class that it may have, from the first pool in
    /// which more than `spare` sources can serve, and more than `reserve` polls are parked.
    pub(super) fn best_for(
        &self,
        client: NatClass,
        spare: usize,
        reserve: usize,
        may_have: impl Fn(PollKey) -> bool,
    ) -> Option<PollKey> {
        let pools = pools_for(client).iter();
        let mut pools =
            pools.filter(|&&pool| self.able_in(pool) > spare && self.len_of(pool) > reserve);
        pools.find_map(|&pool| {
            let mut firsts = self.orders[pool as usize].firsts();
            firsts.find_map(|(_, key)| may_have(key).then_some(key))
        })
    }

    /// The number of polls in a pool.
    pub(super) fn len_of(&self, pool: NatClass) -> usize {
        self.orders[pool as usize].len()
    }

    /// The number of sources with polls in a pool that may have clients now, and of polls
    /// without a source. Many polls of one source are worth no more than one.
    pub(super) fn able_in(&self, pool: NatClass) -> usize {
        self.orders[pool as usize].parties()
    }

    pub(super) fn len(&self) -> usize {
        self.orders.iter().map(TurnOrder::len).sum()
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

    fn count_of(&mut self, poll: &Poll) -> &mut usize {
        let by_nat = self.counts.entry(poll.proxy_type).or_default();
        &mut by_nat[poll.nat as usize]
    }
}

fn rank(poll: &Poll) -> PoolRank {
    (poll.clients, poll.arrival)
}
