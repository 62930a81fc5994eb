//! Connection slots on listeners that require credentials: limits in total and per
//! address, and the choice of the connection that ends when all are taken.
//!
//! A caller is *unknown* until its credentials have been accepted. It has ten seconds for
//! that from the start of the connection, and when no slot is free for a new caller, the
//! oldest unknown one is disconnected. So callers without credentials cannot lock out
//! callers with credentials, however many there are, even from a shared network.
//!
//! An IPv4 address and an IPv6 /64 each count as one network. Only hashes are kept, and
//! only while a connection from the network is open. Connections from this machine count
//! only towards the total: they may come through a tunnel or a reverse proxy.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::future::pending;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::networks::smallest;

/// The maximum number of open connections.
pub const SLOTS_MAX: usize = 1_000;
/// The number of slots reserved for known callers.
const KEPT_FOR_KNOWN: usize = 50;
/// The maximum number of connections from one network.
const PER_NETWORK_MAX: usize = 20;
/// The time that a caller may stay unknown.
const UNKNOWN_MAX: Duration = Duration::from_secs(10);
/// The maximum number of refused calls of an unknown caller per connection.
const REFUSALS_MAX: u32 = 20;

/// The slots of open connections.
#[derive(Debug, Default)]
pub struct CallerSlots {
    taken: Mutex<SlotTable>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct SlotTable {
    /// Callers in the order of arrival, by number.
    callers: BTreeMap<u64, Arc<SlotHolder>>,
    unknown: BTreeSet<u64>,
    by_network: HashMap<u64, usize>,
    last: u64,
}

/// A connection's slot, released on drop.
#[derive(Debug)]
#[must_use = "dropped, the connection counts as closed"]
pub(super) struct CallerSlot {
    slots: Arc<CallerSlots>,
    holder: Arc<SlotHolder>,
}

/// The peer of a connection, as far as slots are concerned.
#[derive(Debug)]
pub struct SlotHolder {
    number: u64,
    /// The hash of the peer's network.
    network: u64,
    unknown_until: Instant,
    is_known: AtomicBool,
    refusals: AtomicU32,
    sent_away: CancellationToken,
}

/// The limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotLimit {
    /// The total number of connections.
    All,
    /// The number of connections from one network.
    Network,
}

impl fmt::Display for SlotLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => write!(
                formatter,
                "all {SLOTS_MAX} places for connections are taken"
            ),
            Self::Network => write!(formatter, "{PER_NETWORK_MAX} connections from one address"),
        }
    }
}

/// The slot for a connection, if any, and the limit reached. At a limit, the oldest
/// unknown caller gives up its slot; if all callers are known, there is none.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) slot: Option<CallerSlot>,
    pub(super) limit: Option<SlotLimit>,
}

impl CallerSlots {
    /// Finds a slot for a new caller, which is still unknown.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Admission {
        let peer = peer.to_canonical();
        let network = self.hasher.hash_one(smallest(peer));
        let mut taken = self.taken();
        let limit = taken.limit(network, peer.is_loopback());
        if let Some(limit) = limit
            && !taken.send_away_oldest(limit, network)
        {
            return Admission {
                slot: None,
                limit: Some(limit),
            };
        }
        let slot = CallerSlot {
            slots: Arc::clone(self),
            holder: taken.add(network),
        };
        Admission {
            slot: Some(slot),
            limit,
        }
    }

    /// Marks a caller as known after its credentials were accepted, so that it stays.
    pub fn accepted(&self, holder: &SlotHolder) {
        if holder.is_known.load(Ordering::Relaxed) {
            return;
        }
        let mut taken = self.taken();
        // The caller may have been disconnected in the meantime.
        taken.unknown.remove(&holder.number);
        holder.is_known.store(true, Ordering::Relaxed);
    }

    /// The table is consistent even if a thread panicked while holding the lock.
    fn taken(&self) -> MutexGuard<'_, SlotTable> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotTable {
    fn limit(&self, network: u64, is_loopback: bool) -> Option<SlotLimit> {
        let of_network = self.by_network.get(&network).copied().unwrap_or_default();
        if !is_loopback && of_network >= PER_NETWORK_MAX {
            return Some(SlotLimit::Network);
        }
        let is_full =
            self.callers.len() >= SLOTS_MAX || self.unknown.len() >= SLOTS_MAX - KEPT_FOR_KNOWN;
        is_full.then_some(SlotLimit::All)
    }

    fn add(&mut self, network: u64) -> Arc<SlotHolder> {
        self.last += 1;
        let caller = Arc::new(SlotHolder {
            number: self.last,
            network,
            // The timer is never polled; it provides tokio's time.
            unknown_until: sleep(UNKNOWN_MAX).deadline(),
            is_known: AtomicBool::new(false),
            refusals: AtomicU32::new(0),
            sent_away: CancellationToken::new(),
        });
        self.callers.insert(self.last, Arc::clone(&caller));
        self.unknown.insert(self.last);
        *self.by_network.entry(network).or_default() += 1;
        caller
    }

    /// Disconnects the oldest unknown caller, and returns true if there is one.
    fn send_away_oldest(&mut self, limit: SlotLimit, network: u64) -> bool {
        let mut unknown = self.unknown.iter().filter_map(|n| self.callers.get(n));
        let oldest = unknown.find(|caller| limit == SlotLimit::All || caller.network == network);
        let Some(oldest) = oldest.cloned() else {
            return false;
        };
        self.remove(oldest.number);
        oldest.sent_away.cancel();
        true
    }

    fn remove(&mut self, number: u64) {
        let Some(caller) = self.callers.remove(&number) else {
            return;
        };
        self.unknown.remove(&number);
        if let Some(of_network) = self.by_network.get_mut(&caller.network) {
            *of_network -= 1;
            if *of_network == 0 {
                self.by_network.remove(&caller.network);
            }
        }
    }
}

impl CallerSlot {
    /// The holder of the slot.
    pub(super) fn holder(&self) -> Arc<SlotHolder> {
        Arc::clone(&self.holder)
    }
}

impl Drop for CallerSlot {
    fn drop(&mut self) {
        self.slots.taken().remove(self.holder.number);
    }
}

impl SlotHolder {
    /// The hash of the peer's network.
    pub fn network(&self) -> u64 {
        self.network
    }

    /// Counts a refused call. An unknown caller with too many is disconnected.
    pub fn refused(&self) {
        let before = self.refusals.fetch_add(1, Ordering::Relaxed);
        if before + 1 >= REFUSALS_MAX && !self.is_known.load(Ordering::Relaxed) {
            self.sent_away.cancel();
        }
    }

    /// The longest delay of a response that still reaches the caller: half of the
    /// remaining time, since it may call again.
    pub fn patience(&self, now: std::time::Instant) -> Duration {
        if self.is_known.load(Ordering::Relaxed) {
            return Duration::MAX;
        }
        self.unknown_until.into_std().saturating_duration_since(now) / 2
    }

    /// Waits until the holder must disconnect, if there is one.
    pub(super) async fn gone(holder: Option<&Arc<Self>>) {
        match holder {
            Some(holder) => Arc::clone(holder).has_to_go().await,
            None => pending().await,
        }
    }

    /// Waits until the connection must end, because of a new caller or because this one
    /// is still unknown. Never returns for a known caller.
    pub(super) async fn has_to_go(self: Arc<Self>) {
        tokio::select! {
            () = self.sent_away.cancelled() => {}
            () = sleep_until(self.unknown_until) => {
                if self.is_known.load(Ordering::Relaxed) {
                    pending::<()>().await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
