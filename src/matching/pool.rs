//! The parked polls, by pool and load.

use std::collections::BTreeMap;

use crate::wire::nat::{NatClass, NatType};
use crate::wire::proxy::ProxyType;

use super::policy::pools_for;
use super::requests::PollKey;
use super::sessions::Poll;

/// The rank of a poll in its pool: by load (clients), then by arrival.
type PoolRank = (u64, u64);

/// The three pools.
#[derive(Debug, Default)]
pub(super) struct Pools {
    by_rank: [BTreeMap<PoolRank, PollKey>; NatClass::ALL.len()],
    counts: [[usize; NatType::ALL.len()]; ProxyType::ALL.len()],
}

impl Pools {
    pub(super) fn insert(&mut self, key: PollKey, poll: &Poll) {
        let before = self.pool_of(poll).insert(rank(poll), key);
        debug_assert!(before.is_none(), "arrivals are unique");
        *self.count_of(poll) += 1;
    }

    pub(super) fn remove(&mut self, poll: &Poll) {
        if self.pool_of(poll).remove(&rank(poll)).is_some() {
            *self.count_of(poll) -= 1;
        }
    }

    /// The best poll for a client of this class from the first pool that has more than
    /// `reserve` polls.
    pub(super) fn best_for(&self, client: NatClass, reserve: usize) -> Option<PollKey> {
        let mut pools = pools_for(client)
            .iter()
            .map(|&pool| &self.by_rank[pool as usize]);
        let pool = pools.find(|pool| pool.len() > reserve)?;
        pool.values().next().copied()
    }

    /// The number of polls in a pool.
    pub(super) fn len_of(&self, pool: NatClass) -> usize {
        self.by_rank[pool as usize].len()
    }

    pub(super) fn len(&self) -> usize {
        self.by_rank.iter().map(BTreeMap::len).sum()
    }

    pub(super) fn keys(&self) -> Vec<PollKey> {
        self.by_rank
            .iter()
            .flat_map(BTreeMap::values)
            .copied()
            .collect()
    }

    /// Numbers of polls by type and NAT, without zeros.
    pub(super) fn counts(&self) -> Vec<(ProxyType, NatType, usize)> {
        let mut counts = Vec::new();
        for (types, proxy_type) in self.counts.iter().zip(ProxyType::ALL) {
            for (&count, nat) in types.iter().zip(NatType::ALL) {
                if count > 0 {
                    counts.push((proxy_type, nat, count));
                }
            }
        }
        counts
    }

    fn pool_of(&mut self, poll: &Poll) -> &mut BTreeMap<PoolRank, PollKey> {
        &mut self.by_rank[NatClass::of(poll.nat) as usize]
    }

    fn count_of(&mut self, poll: &Poll) -> &mut usize {
        &mut self.counts[poll.proxy_type as usize][poll.nat as usize]
    }
}

fn rank(poll: &Poll) -> PoolRank {
    (poll.clients, poll.arrival)
}
