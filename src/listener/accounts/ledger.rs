//! The bookkeeping of the accounts. Pure.

mod order;
mod relief;

use std::collections::{HashMap, VecDeque};

use slotmap::SlotMap;

use crate::networks::LEVELS;

use crate::listener::observer::DropCause;
use crate::listener::settings::Settings;

use super::holder::{Holder, HolderKey, HolderKind};
use super::payer::NetworkPath;

use order::Order;

/// The divisors for the maximum share of memory of an address and the networks around it:
/// for IPv4 the address and its /24, for IPv6 the /64, the /56 and the /48.
pub const SHARES: [usize; LEVELS] = [16, 8, 4];

/// The divisors for the maximum share of the high-water mark of an address and the
/// networks around it, when another connection is admitted.
const WEIGHT_SHARES: [usize; LEVELS] = [8, 4, 2];

/// The multiples of an address's connection limit for the networks around it.
const CONNECTION_FACTORS: [usize; LEVELS] = [1, 4, 8];

/// The tenths of the connection limit above which idle connections make room.
const FULL_TENTHS: usize = 9;

/// The divisor for the last part of the connection limit, which is closed to the network
/// with the most connections: a burst from there takes it from nobody else.
const LAST_PART: usize = 20;

/// The error when there is no room for more bytes, in total or in the requester's
/// account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for so many bytes")]
pub struct NoRoom;

/// Bounds of all accounts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of requests, including heads, and of responses until they are written.
    pub bytes: usize,
    /// The same bytes plus the fixed costs of requests and connections; above this mark
    /// the largest account pays.
    pub high_water: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            bytes: 256_000_000,
            high_water: 512_000_000,
        }
    }
}

/// The memory and connections in use at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountFigures {
    /// Bytes of requests and of unwritten responses.
    pub bytes: usize,
    /// The bound of these bytes.
    pub bytes_max: usize,
    /// The same bytes plus the fixed costs of requests and connections.
    pub weight: usize,
    /// The mark above which the largest account pays.
    pub high_water: usize,
    /// Open connections.
    pub connections: usize,
    /// The number of requests and connections revoked since the start.
    pub revoked: u64,
}

/// The account of an address or a network.
#[derive(Debug, Default)]
struct Account {
    bytes: usize,
    weight: usize,
    /// The weight of holders that were told to go.
    leaving: usize,
    connections: usize,
    holders: usize,
    /// False for the account of a surrounding network.
    is_address: bool,
    /// For an address: its requests, oldest first, and some that are gone.
    requests: VecDeque<HolderKey>,
    /// For an address and its outermost network: idle connections, longest idle first,
    /// and some that are no longer idle.
    idle: VecDeque<(u64, HolderKey)>,
}

impl Account {
    /// The weight of holders that were not told to go.
    fn staying(&self) -> usize {
        self.weight - self.leaving
    }
}

/// All accounts and their holders.
#[derive(Debug)]
pub(super) struct Ledger {
    bounds: Bounds,
    total: Account,
    accounts: HashMap<u64, Account>,
    holders: SlotMap<HolderKey, Holder>,
    order: Order,
    /// A logical clock, incremented whenever a connection becomes idle.
    idle_clock: u64,
    revoked: u64,
}

impl Ledger {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            total: Account::default(),
            accounts: HashMap::new(),
            holders: SlotMap::with_key(),
            order: Order::default(),
            idle_clock: 0,
            revoked: 0,
        }
    }

    pub(super) fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Returns true if nothing is held or kept.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let total = &self.total;
        let left = [total.bytes, total.weight, total.leaving];
        let counts = [total.connections, total.holders];
        let is_zero = left == [0; 3] && counts == [0; 2];
        is_zero && self.accounts.is_empty() && self.holders.is_empty() && self.order.is_empty()
    }

    pub(super) fn figures(&self) -> AccountFigures {
        AccountFigures {
            bytes: self.total.bytes,
            bytes_max: self.bounds.bytes,
            weight: self.total.weight,
            high_water: self.bounds.high_water,
            connections: self.total.connections,
            revoked: self.revoked,
        }
    }

    /// Checks whether another connection with these networks and this cost may be served.
    pub(super) fn admit(
        &mut self,
        path: &NetworkPath,
        settings: &Settings,
        cost: usize,
    ) -> Result<(), DropCause> {
        let most = settings.max_connections;
        if most > 0 && self.total.connections >= most / 10 * FULL_TENTHS + most % 10 {
            self.revoke_idle_connection();
        }
        let is_late = most > 0 && self.total.connections >= most - most / LAST_PART;
        if is_over(self.total.connections, most) || is_late && self.has_most(path) {
            return Err(DropCause::Connections);
        }
        let of_one = settings.max_connections_per_peer;
        for (hash, factor) in path.hashes().iter().zip(CONNECTION_FACTORS) {
            let account = self.accounts.get(hash);
            let open = account.map_or(0, |account| account.connections);
            if is_over(open, of_one.saturating_mul(factor)) {
                return Err(DropCause::ConnectionsPerPeer);
            }
        }
        let mark = self.bounds.high_water;
        for (hash, share) in path.hashes().iter().zip(WEIGHT_SHARES) {
            let account = self.accounts.get(hash);
            let weight = account.map_or(0, |account| account.weight);
            if weight + cost > mark / share {
                return Err(DropCause::ConnectionsPerPeer);
            }
        }
        Ok(())
    }

    /// Returns true if no network has more connections than that of this path.
    fn has_most(&self, path: &NetworkPath) -> bool {
        let network = path
            .hashes()
            .last()
            .and_then(|hash| self.accounts.get(hash));
        let connections = network.map_or(0, |account| account.connections);
        connections > 0 && connections >= self.order.most_connections()
    }

    pub(super) fn open(&mut self, holder: Holder) -> HolderKey {
        let (cost, kind, path) = (holder.cost, holder.kind, holder.path);
        self.each_account(path, |account| {
            account.weight += cost;
            account.holders += 1;
            account.connections += usize::from(kind == HolderKind::Connection);
        });
        let key = self.holders.insert(holder);
        if kind == HolderKind::Request {
            self.enlist_request(path, key);
        }
        key
    }

    pub(super) fn close(&mut self, key: HolderKey) {
        let Some(holder) = self.holders.remove(key) else {
            return;
        };
        let (bytes, weight) = (holder.bytes, holder.weight());
        let leaving = if holder.is_leaving { weight } else { 0 };
        let is_connection = holder.kind == HolderKind::Connection;
        self.each_account(holder.path, |account| {
            account.bytes -= bytes;
            account.weight -= weight;
            account.leaving -= leaving;
            account.holders -= 1;
            account.connections -= usize::from(is_connection);
        });
        for hash in holder.path.hashes() {
            let account = self.accounts.get(hash);
            if account.is_some_and(|account| account.holders == 0) {
                self.accounts.remove(hash);
                self.order.forget(*hash);
            }
        }
        self.ease();
    }

    /// Adds to a holder's bytes, if there is room or others can be made to go.
    pub(super) fn take(&mut self, key: HolderKey, bytes: usize) -> Result<(), NoRoom> {
        let holder = self.holders.get(key).ok_or(NoRoom)?;
        if holder.is_leaving || !self.is_within_share(&holder.path, bytes) {
            return Err(NoRoom);
        }
        if self.excess(bytes) > 0 {
            self.relieve(bytes);
            let must_go = self.holders.get(key).is_none_or(|holder| holder.is_leaving);
            if must_go || self.excess(bytes) > 0 || self.total.bytes + bytes > self.hard_bound() {
                return Err(NoRoom);
            }
        }
        self.add(key, bytes);
        Ok(())
    }

    pub(super) fn add(&mut self, key: HolderKey, bytes: usize) {
        let Some(holder) = self.holders.get_mut(key) else {
            return;
        };
        holder.bytes += bytes;
        let leaving = if holder.is_leaving { bytes } else { 0 };
        let path = holder.path;
        self.each_account(path, |account| {
            account.bytes += bytes;
            account.weight += bytes;
            account.leaving += leaving;
        });
    }

    /// Subtracts `bytes` from a holder's bytes, at most all of them.
    pub(super) fn give_back(&mut self, key: HolderKey, bytes: usize) {
        let Some(holder) = self.holders.get_mut(key) else {
            return;
        };
        let bytes = bytes.min(holder.bytes);
        holder.bytes -= bytes;
        let leaving = if holder.is_leaving { bytes } else { 0 };
        let path = holder.path;
        self.each_account(path, |account| {
            account.bytes -= bytes;
            account.weight -= bytes;
            account.leaving -= leaving;
        });
        self.ease();
    }

    fn is_within_share(&self, path: &NetworkPath, bytes: usize) -> bool {
        let mut shares = path.hashes().iter().zip(SHARES);
        shares.all(|(hash, share)| {
            let held = self.accounts.get(hash).map_or(0, |account| account.bytes);
            held + bytes <= self.bounds.bytes / share
        })
    }

    /// The excess over the bounds with `bytes` more, not counting holders that were told
    /// to go.
    fn excess(&self, bytes: usize) -> usize {
        let bound = self.bounds.bytes.saturating_add(self.total.leaving);
        let of_bytes = (self.total.bytes + bytes).saturating_sub(bound);
        let mark = self.bounds.high_water.saturating_add(self.total.leaving);
        let of_weight = (self.total.weight + bytes).saturating_sub(mark);
        of_bytes.max(of_weight)
    }

    /// The bound including holders that were told to go, which need a moment to leave.
    /// Beyond this bound, requests are refused.
    fn hard_bound(&self) -> usize {
        self.bounds.bytes.saturating_add(self.bounds.bytes / 8)
    }

    /// Changes the total and the accounts on a path, and their positions in the order.
    fn each_account(&mut self, path: NetworkPath, change: impl Fn(&mut Account)) {
        change(&mut self.total);
        for (level, &hash) in path.hashes().iter().enumerate() {
            let account = self.accounts.entry(hash).or_default();
            let (staying, connections) = (account.staying(), account.connections);
            change(account);
            if level == 0 {
                account.is_address = true;
                self.order.weighs(hash, staying, account.staying());
            }
            if level + 1 == path.hashes().len() {
                self.order.has(hash, connections, account.connections);
            }
        }
    }
}

/// Returns true if one more is too many; a limit of 0 means no limit.
fn is_over(count: usize, most: usize) -> bool {
    most > 0 && count >= most
}
