//! Clients waiting for a proxy, in order of arrival.

use std::collections::BTreeMap;

use super::policy::clients_for;
use super::requests::ClientKey;
use crate::wire::nat::NatClass;

/// A queue from which each proxy takes the oldest client that it can serve.
#[derive(Debug, Default)]
pub(super) struct ClientQueue {
    by_arrival: [BTreeMap<u64, ClientKey>; NatClass::ALL.len()],
}

impl ClientQueue {
    pub(super) fn insert(&mut self, class: NatClass, arrival: u64, key: ClientKey) {
        self.by_arrival[class as usize].insert(arrival, key);
    }

    pub(super) fn remove(&mut self, class: NatClass, arrival: u64) {
        self.by_arrival[class as usize].remove(&arrival);
    }

    /// The oldest client that a proxy in `pool` can serve.
    pub(super) fn oldest_for(&self, pool: NatClass) -> Option<ClientKey> {
        clients_for(pool)
            .iter()
            .filter_map(|&class| self.by_arrival[class as usize].first_key_value())
            .min_by_key(|(arrival, _)| **arrival)
            .map(|(_, &key)| key)
    }

    pub(super) fn len(&self) -> usize {
        self.by_arrival.iter().map(BTreeMap::len).sum()
    }

    pub(super) fn len_of(&self, class: NatClass) -> usize {
        self.by_arrival[class as usize].len()
    }

    pub(super) fn keys(&self) -> Vec<ClientKey> {
        self.by_arrival
            .iter()
            .flat_map(BTreeMap::values)
            .copied()
            .collect()
    }
}
