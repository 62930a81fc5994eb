//! Who has to go when there is too much.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::{HolderKey, Kind, Ledger};

/// The largest account pays this part of all more than it has to, so that it is not
/// for the next byte that somebody has to pay again.
const HEADROOM: usize = 128;
/// So many accounts pay at most for one request.
const PAYERS_MAX: usize = 4;
/// So many connections that idle are looked out at once.
const VICTIMS_MAX: usize = 64;

impl Ledger {
    /// Tells holders of the largest accounts to go.
    pub(super) fn relieve(&mut self, bytes: usize) {
        let mark = self.bounds.high_water.min(self.bounds.bytes);
        let excess = self.excess(bytes);
        let (mut freed, mut wanted) = (0, excess + mark / HEADROOM);
        for account in self.largest_accounts() {
            for key in self.turns_of(account) {
                if freed >= wanted {
                    return;
                }
                freed += self.revoke(key);
            }
            wanted = excess;
        }
    }

    /// Of addresses, the heaviest first.
    fn largest_accounts(&self) -> Vec<u64> {
        let of_addresses = self.holders.values().filter(|holder| !holder.is_leaving);
        let mut by_weight: HashMap<u64, usize> = HashMap::new();
        for holder in of_addresses {
            if let Some(&address) = holder.path.hashes().first() {
                *by_weight.entry(address).or_default() += holder.weight();
            }
        }
        let mut accounts: Vec<(u64, usize)> = by_weight.into_iter().collect();
        accounts.sort_unstable_by_key(|(_, weight)| Reverse(*weight));
        accounts.truncate(PAYERS_MAX);
        accounts.into_iter().map(|(address, _)| address).collect()
    }

    /// The holders of an address that may have to go, in their order.
    fn turns_of(&self, address: u64) -> Vec<HolderKey> {
        let of_address = self
            .holders
            .iter()
            .filter(|(_, holder)| holder.path.hashes().first() == Some(&address));
        let mut turns: Vec<((Kind, u64), HolderKey)> = of_address
            .filter_map(|(key, holder)| Some((holder.turn()?, key)))
            .collect();
        turns.sort_unstable_by_key(|(turn, _)| *turn);
        turns.into_iter().map(|(_, key)| key).collect()
    }

    /// Tells a holder to go; how many bytes that will free.
    fn revoke(&mut self, key: HolderKey) -> usize {
        let Some(holder) = self
            .holders
            .get_mut(key)
            .filter(|holder| !holder.is_leaving)
        else {
            return 0;
        };
        holder.is_leaving = true;
        holder.state.revoke();
        let weight = holder.weight();
        self.leaving += weight;
        self.revoked += 1;
        weight
    }

    /// Takes back that a holder has to go.
    pub(in crate::listener::accounts) fn stay(&mut self, key: HolderKey) {
        if let Some(holder) = self.holders.get_mut(key).filter(|holder| holder.is_leaving) {
            holder.is_leaving = false;
            holder.state.stay();
            self.leaving -= holder.weight();
        }
    }

    /// The connection that idles for longest goes, of the network with the most.
    pub(super) fn revoke_idle_connection(&mut self) {
        if self.victims.is_empty() {
            self.victims = self.look_out_victims();
        }
        while let Some((key, idle_since)) = self.victims.pop() {
            let holder = self.holders.get(key);
            let idles_still = holder.is_some_and(|holder| {
                !holder.is_leaving && holder.state.idle_since() == Some(idle_since)
            });
            if idles_still {
                self.revoke(key);
                return;
            }
        }
    }

    fn look_out_victims(&self) -> Vec<(HolderKey, u64)> {
        let connections = self.holders.iter();
        let idle: Vec<(u64, HolderKey, u64)> = connections
            .filter(|(_, holder)| holder.kind == Kind::Connection)
            .filter_map(|(key, holder)| {
                let network = *holder.path.hashes().last()?;
                let (_, idle_since) = holder.turn()?;
                Some((network, key, idle_since))
            })
            .collect();
        let size = |network: &u64| self.accounts.get(network).map_or(0, |of| of.connections);
        let largest = idle
            .iter()
            .map(|(network, ..)| network)
            .max_by_key(|it| size(it));
        let of_largest = idle.iter().filter(|(network, ..)| Some(network) == largest);
        let mut victims: Vec<(HolderKey, u64)> =
            of_largest.map(|(_, key, since)| (*key, *since)).collect();
        victims.sort_unstable_by_key(|(_, since)| *since);
        victims.truncate(VICTIMS_MAX);
        victims.reverse();
        victims
    }
}
