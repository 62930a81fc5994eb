//! The slots of connections whose callers have to show credentials: how many there
//! may be, in all and from one address, and whose connection ends when they are taken.
//!
//! A caller is *unknown* until credentials of its were accepted. Unknown callers
//! have ten seconds for that from the moment they are accepted, whatever they do
//! meanwhile, and when there is no slot for a new one the oldest of them goes. So
//! nobody who knows the credentials is kept out by those who do not, however many
//! there are: also in a network that they share.
//!
//! An IPv4 address counts as one network, and an IPv6 /64. Only hashes are kept,
//! each while a connection from there is open. Connections of this machine only
//! count in all: a tunnel or a reverse proxy may end here.

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

/// Connections that may be open in all.
pub const SLOTS_MAX: usize = 1_000;
/// Of these so many are for callers that are known.
const KEPT_FOR_KNOWN: usize = 50;
/// Connections from one network.
const PER_NETWORK_MAX: usize = 20;
/// The time that a caller may stay unknown.
const UNKNOWN_MAX: Duration = Duration::from_secs(10);
/// The number of calls of an unknown caller that may be refused over one connection.
const REFUSALS_MAX: u32 = 20;

/// The connections that are open, or being opened.
#[derive(Debug, Default)]
pub struct CallerSlots {
    taken: Mutex<SlotTable>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct SlotTable {
    /// In the order in which they came, by number.
    callers: BTreeMap<u64, Arc<SlotHolder>>,
    unknown: BTreeSet<u64>,
    by_network: HashMap<u64, usize>,
    last: u64,
}

/// A connection's slot, given up by its drop.
#[derive(Debug)]
#[must_use = "dropped, the connection counts as closed"]
pub(super) struct CallerSlot {
    slots: Arc<CallerSlots>,
    holder: Arc<SlotHolder>,
}

/// The other end of a connection, as far as its slot is concerned.
#[derive(Debug)]
pub struct SlotHolder {
    number: u64,
    /// The hash of its network.
    network: u64,
    unknown_until: Instant,
    is_known: AtomicBool,
    refusals: AtomicU32,
    sent_away: CancellationToken,
}

/// The number of connections that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotLimit {
    /// That in all.
    All,
    /// That of one network.
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

/// A slot for a connection, if there is one. At a limit it is that of the oldest
/// unknown caller, who has to go; there is none where all are known.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) slot: Option<CallerSlot>,
    pub(super) limit: Option<SlotLimit>,
}

impl CallerSlots {
    /// Finds a slot for a caller that nothing is known of yet.
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

    /// Credentials of this caller were accepted: it stays.
    pub fn accepted(&self, holder: &SlotHolder) {
        if holder.is_known.load(Ordering::Relaxed) {
            return;
        }
        let mut taken = self.taken();
        // Whoever has been sent away meanwhile is not there any more.
        taken.unknown.remove(&holder.number);
        holder.is_known.store(true, Ordering::Relaxed);
    }

    /// The table is whole at any time, even if a holder of the lock panicked.
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
            // It is never polled: the clock is tokio's.
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

    /// Takes the slot of the unknown caller who came first, and returns true if there is one.
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
    /// The one who has it.
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
    /// The hash of its network.
    pub fn network(&self) -> u64 {
        self.network
    }

    /// Counts a call that was refused. An unknown caller that does not stop has to
    /// go.
    pub fn refused(&self) {
        let before = self.refusals.fetch_add(1, Ordering::Relaxed);
        if before + 1 >= REFUSALS_MAX && !self.is_known.load(Ordering::Relaxed) {
            self.sent_away.cancel();
        }
    }

    /// The time that an answer may take to reach it before the connection ends: half of
    /// what is left, as it may call again.
    pub fn patience(&self, now: std::time::Instant) -> Duration {
        if self.is_known.load(Ordering::Relaxed) {
            return Duration::MAX;
        }
        self.unknown_until.into_std().saturating_duration_since(now) / 2
    }

    /// Waits until a holder has to go, if there is one.
    pub(super) async fn gone(holder: Option<&Arc<Self>>) {
        match holder {
            Some(holder) => Arc::clone(holder).has_to_go().await,
            None => pending().await,
        }
    }

    /// Waits until the connection has to end: for a new caller, or because nobody
    /// knows who this one is. Never, once that is known.
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
