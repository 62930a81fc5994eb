//! The addresses that several nodes have seen in a window, counted together.

use std::collections::BTreeMap;

use super::tally::SavedTally;
use super::{DistinctIps, SavedIps, UniqueIps, WindowKey};
use crate::wire::proxy::ProxyTypes;

impl SavedIps {
    /// The addresses of both, each counted once: estimates where both have some.
    #[must_use]
    pub(in crate::metrics) fn merge(self, other: Self) -> Self {
        Self {
            total: self.total.merge(other.total),
            by_country: merged(self.by_country, other.by_country),
            by_type: merged(self.by_type, other.by_type),
            by_nat: merged(self.by_nat, other.by_nat),
        }
    }

    /// The counts.
    pub(in crate::metrics) fn counts(self, types: &ProxyTypes) -> UniqueIps {
        // Nothing is hashed with this key.
        DistinctIps::restore(WindowKey([0; 16]), 0, self, types).counts()
    }
}

fn merged<L: Ord>(
    mut tallies: BTreeMap<L, SavedTally>,
    others: BTreeMap<L, SavedTally>,
) -> BTreeMap<L, SavedTally> {
    for (label, tally) in others {
        let both = match tallies.remove(&label) {
            Some(ours) => ours.merge(tally),
            None => tally,
        };
        tallies.insert(label, both);
    }
    tallies
}
