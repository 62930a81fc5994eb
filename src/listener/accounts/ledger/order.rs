//! The orders in which accounts must give something up.

use std::collections::{BTreeMap, BTreeSet};

/// The orders of accounts, by hash.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Addresses by the weight of their remaining holders. Maintained only while memory
    /// is short: otherwise it is not needed, and every byte would change it.
    by_weight: Option<BTreeSet<(usize, u64)>>,
    /// Networks with possibly idle connections, by number of connections.
    idle: BTreeSet<(usize, u64)>,
    /// The number of networks for each number of connections.
    sizes: BTreeMap<usize, usize>,
}

impl Order {
    /// Notes that the remaining weight of an address has changed.
    pub(super) fn weighs(&mut self, address: u64, before: usize, after: usize) {
        if let Some(by_weight) = self.by_weight.as_mut().filter(|_| before != after) {
            by_weight.remove(&(before, address));
            by_weight.insert((after, address));
        }
    }

    /// Notes that the number of connections of a network has changed.
    pub(super) fn has(&mut self, network: u64, before: usize, after: usize) {
        if before == after {
            return;
        }
        if let Some(others) = self.sizes.get_mut(&before) {
            *others -= 1;
            if *others == 0 {
                self.sizes.remove(&before);
            }
        }
        if after > 0 {
            *self.sizes.entry(after).or_default() += 1;
        }
        if self.idle.remove(&(before, network)) {
            self.idle.insert((after, network));
        }
    }

    /// Notes that a network with this many connections has idle ones.
    pub(super) fn idles(&mut self, network: u64, connections: usize) {
        self.idle.insert((connections, network));
    }

    /// Forgets an empty account.
    pub(super) fn forget(&mut self, account: u64) {
        if let Some(by_weight) = &mut self.by_weight {
            by_weight.remove(&(0, account));
        }
        self.idle.remove(&(0, account));
    }

    /// The network with the most connections among those with possibly idle ones.
    pub(super) fn largest_idle(&self) -> Option<u64> {
        self.idle.last().map(|(_, network)| *network)
    }

    /// Notes that this network has no idle connections.
    pub(super) fn largest_idles_no_more(&mut self) {
        self.idle.pop_last();
    }

    /// The largest number of connections of a network.
    pub(super) fn most_connections(&self) -> usize {
        self.sizes.last_key_value().map_or(0, |(size, _)| *size)
    }

    /// The heaviest addresses, heaviest first. Builds the order if it does not exist.
    pub(super) fn heaviest(
        &mut self,
        count: usize,
        addresses: impl FnOnce() -> BTreeSet<(usize, u64)>,
    ) -> Vec<u64> {
        let by_weight = self.by_weight.get_or_insert_with(addresses);
        let heaviest = by_weight.iter().rev().take(count);
        heaviest.map(|(_, address)| *address).collect()
    }

    /// Drops the order by weight once memory is no longer short.
    pub(super) fn forget_weights(&mut self) {
        self.by_weight = None;
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let weights = self.by_weight.as_ref().map_or(0, BTreeSet::len);
        weights == 0 && self.idle.is_empty() && self.sizes.is_empty()
    }
}
