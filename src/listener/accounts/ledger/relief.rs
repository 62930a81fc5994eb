//! The choice of those who have to go when there is too much.
//!
//! Nothing is looked through for that: requests and connections that idle are in
//! queues, from which whoever has gone, or is busy again, is taken when its turn
//! comes.

use std::collections::BTreeSet;

use slotmap::SlotMap;

use crate::listener::accounts::holder::{Holder, HolderKey, HolderKind};
use crate::listener::accounts::payer::NetworkPath;

use super::Ledger;

/// The largest account pays this part of all more than it has to, so that it is not
/// for the next byte that somebody has to pay again.
const HEADROOM: usize = 128;
/// So many accounts pay at most for one request.
const PAYERS_MAX: usize = 4;
/// A queue has so many entries at most besides one for each that is in it, and one
/// for each that is not in it any more.
const QUEUE_SLACK: usize = 16;
/// Memory is short until this part of it is free again.
const EASED_PART: usize = 8;

impl Ledger {
    /// Tells holders of the largest accounts to go: the oldest requests of each, then
    /// the connections that idle for longest.
    pub(super) fn relieve(&mut self, bytes: usize) {
        let mark = self.bounds.high_water.min(self.bounds.bytes);
        let excess = self.excess(bytes);
        let (mut freed, mut wanted) = (0, excess + mark / HEADROOM);
        for address in self.largest_accounts() {
            while freed < wanted {
                let Some(key) = self.next_to_go(address) else {
                    break;
                };
                freed += self.revoke(key);
            }
            wanted = excess;
        }
    }

    /// Of addresses, the heaviest first.
    fn largest_accounts(&mut self) -> Vec<u64> {
        let accounts = &self.accounts;
        let addresses = || -> BTreeSet<(usize, u64)> {
            let addresses = accounts.iter().filter(|(_, account)| account.is_address);
            addresses
                .inspect(|_| count_step())
                .map(|(hash, account)| (account.staying(), *hash))
                .collect()
        };
        self.order.heaviest(PAYERS_MAX, addresses)
    }

    /// Forgets who is the heaviest once nobody needs to know.
    pub(super) fn ease(&mut self) {
        let is_low = |held, bound| held <= bound - bound / EASED_PART;
        if is_low(self.total.bytes, self.bounds.bytes)
            && is_low(self.total.weight, self.bounds.high_water)
        {
            self.order.forget_weights();
        }
    }

    /// The holder of an address that has to go first.
    fn next_to_go(&mut self, address: u64) -> Option<HolderKey> {
        self.oldest_request(address)
            .or_else(|| self.longest_idle_of(address))
    }

    fn oldest_request(&mut self, address: u64) -> Option<HolderKey> {
        let account = self.accounts.get_mut(&address)?;
        while let Some(&key) = account.requests.front() {
            count_step();
            if may_go(&self.holders, key) {
                return Some(key);
            }
            account.requests.pop_front();
        }
        None
    }

    /// Of an account that has a queue of them.
    fn longest_idle_of(&mut self, account: u64) -> Option<HolderKey> {
        let account = self.accounts.get_mut(&account)?;
        while let Some(&(since, key)) = account.idle.front() {
            count_step();
            if idles_since(&self.holders, key, since) {
                return Some(key);
            }
            account.idle.pop_front();
        }
        None
    }

    /// The connection that idles for longest goes, of the network with the most.
    pub(super) fn revoke_idle_connection(&mut self) {
        while let Some(network) = self.order.largest_idle() {
            count_step();
            if let Some(key) = self.longest_idle_of(network) {
                self.revoke(key);
                return;
            }
            self.order.largest_idles_no_more();
        }
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
        let (weight, path) = (holder.weight(), holder.path);
        self.each_account(path, |account| account.leaving += weight);
        self.revoked += 1;
        weight
    }

    /// Takes back that a connection has to go. If it idles it does so anew: it was
    /// needed.
    pub(in crate::listener::accounts) fn stay(&mut self, key: HolderKey) {
        let was_told =
            |holder: &&mut Holder| holder.is_leaving && holder.kind == HolderKind::Connection;
        let Some(holder) = self.holders.get_mut(key).filter(was_told) else {
            return;
        };
        holder.is_leaving = false;
        holder.state.stay();
        let (weight, path) = (holder.weight(), holder.path);
        let is_idle = holder.idle_since.is_some();
        self.each_account(path, |account| account.leaving -= weight);
        self.set_idle(key, is_idle);
    }

    /// A connection idles from now on, or does no more.
    pub(in crate::listener::accounts) fn set_idle(&mut self, key: HolderKey, is_idle: bool) {
        self.idle_clock += 1;
        let Some(holder) = self.holders.get_mut(key) else {
            return;
        };
        if holder.kind == HolderKind::Connection {
            holder.idle_since = is_idle.then_some(self.idle_clock);
            self.enlist_idle(key);
        }
    }

    /// Puts a request into the queue of its address.
    pub(super) fn enlist_request(&mut self, path: NetworkPath, key: HolderKey) {
        let address = path.hashes().first();
        let Some(account) = address.and_then(|hash| self.accounts.get_mut(hash)) else {
            return;
        };
        if account.requests.len() > 2 * account.holders + QUEUE_SLACK {
            let holders = &self.holders;
            account.requests.retain(|key| may_go(holders, *key));
        }
        account.requests.push_back(key);
    }

    /// Puts a connection that idles into the queues of its address and its network.
    fn enlist_idle(&mut self, key: HolderKey) {
        let Some(holder) = self.holders.get(key) else {
            return;
        };
        let (Some(since), [address, .., network]) = (holder.idle_since, holder.path.hashes())
        else {
            return;
        };
        for hash in [address, network] {
            let Some(account) = self.accounts.get_mut(hash) else {
                continue;
            };
            if account.idle.len() > 2 * account.connections + QUEUE_SLACK {
                let holders = &self.holders;
                let idles = |&(since, key): &(u64, HolderKey)| idles_since(holders, key, since);
                account.idle.retain(idles);
            }
            account.idle.push_back((since, key));
            if hash == network {
                self.order.idles(*network, account.connections);
            }
        }
    }
}

fn may_go(holders: &SlotMap<HolderKey, Holder>, key: HolderKey) -> bool {
    holders.get(key).is_some_and(|holder| !holder.is_leaving)
}

fn idles_since(holders: &SlotMap<HolderKey, Holder>, key: HolderKey, since: u64) -> bool {
    let idle_since = |holder: &Holder| holder.idle_since.filter(|_| !holder.is_leaving);
    holders.get(key).and_then(idle_since) == Some(since)
}

/// Counts whatever is looked at to find somebody, for the tests.
fn count_step() {
    #[cfg(test)]
    tests::STEPS.set(tests::STEPS.get() + 1);
}

#[cfg(test)]
mod tests;
