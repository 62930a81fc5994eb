//! The choice of holders that must go when a bound is exceeded.
//!
//! This needs no search: requests and idle connections are in queues. Entries that are
//! gone or busy again are removed when they reach the front.

use std::collections::BTreeSet;

use slotmap::SlotMap;

use crate::listener::accounts::holder::{Holder, HolderKey, HolderKind};
use crate::listener::accounts::payer::NetworkPath;

use super::Ledger;

/// The divisor for the additional amount that the largest account frees, so that the next
/// byte does not exceed the bound again.
const HEADROOM: usize = 128;
/// The maximum number of accounts that pay for one request.
const PAYERS_MAX: usize = 4;
/// The slack of a queue, in addition to one entry per member and one per stale entry.
const QUEUE_SLACK: usize = 16;
/// The divisor for the part of memory that must be free again before memory is no longer
/// short.
const EASED_PART: usize = 8;

impl Ledger {
    /// Revokes holders of the largest accounts: the oldest requests of each, then the
    /// connections that have been idle longest.
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

    /// The heaviest addresses, heaviest first.
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

    /// Drops the order by weight once it is no longer needed.
    pub(super) fn ease(&mut self) {
        let is_low = |held, bound| held <= bound - bound / EASED_PART;
        if is_low(self.total.bytes, self.bounds.bytes)
            && is_low(self.total.weight, self.bounds.high_water)
        {
            self.order.forget_weights();
        }
    }

    /// The holder of an address that must go first.
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

    /// The connection that has been idle longest, for an account with a queue of them.
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

    /// Revokes the longest-idle connection of the network with the most connections.
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

    /// Tells a holder to go, and returns the number of bytes that this will free.
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

    /// Withdraws the revocation of a connection. Its idle time starts again, since it was
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

    /// Notes that a connection has become idle or busy.
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

    /// Appends a request to the queue of its address.
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

    /// Appends an idle connection to the queues of its address and its network.
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

/// Counts the entries examined, for the tests.
fn count_step() {
    #[cfg(test)]
    tests::STEPS.set(tests::STEPS.get() + 1);
}

#[cfg(test)]
mod tests;
