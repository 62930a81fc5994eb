//! The networks around the sources that are here.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use slotmap::SlotMap;

use super::standing::{NetworkKey, SourceKey, SourceNetwork};
use crate::wire::nat::NatClass;

/// The networks. Each is here as long as one of its sources is.
#[derive(Debug, Default)]
pub(super) struct SourceNetworks {
    by_key: SlotMap<NetworkKey, SourceNetwork>,
    by_id: HashMap<u64, NetworkKey, FixedState>,
}

impl SourceNetworks {
    /// The network with this number, which is here from now on.
    pub(super) fn enter(&mut self, id: u64) -> NetworkKey {
        let by_key = &mut self.by_key;
        *self.by_id.entry(id).or_insert_with(|| {
            by_key.insert(SourceNetwork {
                id,
                sources: Vec::new(),
                recent: [0; NatClass::ALL.len()],
                matches: 0,
            })
        })
    }

    pub(super) fn get(&self, key: NetworkKey) -> Option<&SourceNetwork> {
        self.by_key.get(key)
    }

    pub(super) fn get_mut(&mut self, key: NetworkKey) -> Option<&mut SourceNetwork> {
        self.by_key.get_mut(key)
    }

    /// Takes a source out of its network. Returns true if that was the last one.
    pub(super) fn leave(&mut self, key: NetworkKey, source: SourceKey) -> bool {
        let Some(network) = self.by_key.get_mut(key) else {
            return false;
        };
        // Whoever is refused leaves at once, and came last.
        let place = network.sources.iter().rposition(|&other| other == source);
        if let Some(place) = place {
            network.sources.swap_remove(place);
        }
        if !network.sources.is_empty() {
            return false;
        }
        self.by_id.remove(&network.id);
        self.by_key.remove(key);
        true
    }

    /// The number of entries of both tables.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> [usize; 2] {
        [self.by_key.len(), self.by_id.len()]
    }

    /// Returns true if there were no matches in the last minute.
    pub(super) fn are_quiet(&self) -> bool {
        self.by_key.values().all(|network| network.matches == 0)
    }
}
