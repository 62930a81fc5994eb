//! The sources and networks with most matches, of which the other nodes of a cluster hear.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use slotmap::SlotMap;

use super::requests::MatchTally;
use super::source_networks::SourceNetworks;
use super::standing::{NetworkKey, SourceKey, SourceNetwork, Standing};
use super::supply::{SupplySettings, growth};

/// The matches of the last minute from which on a source or a network is busy.
const BUSY: u32 = 4;

/// The busy sources and networks. Their number is bounded by the matches of a minute.
#[derive(Debug, Default)]
pub(super) struct BusySources {
    sources: BTreeSet<SourceKey>,
    networks: BTreeSet<NetworkKey>,
}

impl BusySources {
    /// Notes the matches of a source and of its network.
    pub(super) fn note(&mut self, key: SourceKey, standing: &Standing, network: &SourceNetwork) {
        put(&mut self.sources, key, standing.matches >= BUSY);
        put(
            &mut self.networks,
            standing.network,
            network.matches >= BUSY,
        );
    }

    pub(super) fn forget_network(&mut self, key: NetworkKey) {
        self.networks.remove(&key);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.networks.is_empty()
    }

    /// The sources with the largest part of their limits, and the networks with most matches,
    /// up to `max` of each.
    pub(super) fn tallies(
        &self,
        standings: &SlotMap<SourceKey, Standing>,
        networks: &SourceNetworks,
        settings: &SupplySettings,
        max: usize,
    ) -> Vec<MatchTally> {
        let sources = self.sources.iter().filter_map(|&key| {
            let standing = standings.get(key)?;
            let limit = standing
                .matches_max(settings)
                .saturating_mul(standing.share);
            let tally = MatchTally {
                id: standing.id,
                matches: standing.matches,
                growth: growth(standing.record),
            };
            Some((tally, limit))
        });
        let networks = self.networks.iter().filter_map(|&key| {
            let network = networks.get(key)?;
            let tally = MatchTally {
                id: network.id,
                matches: network.matches,
                growth: 0,
            };
            Some((tally, 1))
        });
        [most(sources.collect(), max), most(networks.collect(), max)].concat()
    }
}

/// Puts a key into a set, or takes it out.
fn put<K: Ord>(set: &mut BTreeSet<K>, key: K, is_in: bool) {
    if is_in {
        set.insert(key);
    } else {
        set.remove(&key);
    }
}

/// Those with the largest part of their limits, `max` of them or fewer: whoever may have little
/// is told of before those who may have much.
fn most(mut tallies: Vec<(MatchTally, u32)>, max: usize) -> Vec<MatchTally> {
    tallies.sort_unstable_by_key(|(tally, limit)| {
        Reverse(u64::from(tally.matches) * 1_000 / u64::from(*limit).max(1))
    });
    tallies.truncate(max);
    tallies.into_iter().map(|(tally, _)| tally).collect()
}
