//! The places of connections over TCP: how many there may be, in all and from one
//! address, and who has to go when they are taken.
//!
//! A caller is *unknown* until credentials of its were accepted. Unknown callers
//! have ten seconds for that from the moment they are accepted, whatever they do
//! meanwhile, and when there is no place for a new one the oldest of them goes. So
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
use std::time::{Duration, Instant};

use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::broker::clock;
use crate::networks::smallest;

/// Connections that may be open in all.
pub(super) const PLACES_MAX: usize = 1_000;
/// Of these so many are for callers that are known.
const KEPT_FOR_KNOWN: usize = 50;
/// Connections from one network.
const PER_NETWORK_MAX: usize = 20;
/// How long a caller may stay unknown.
const UNKNOWN_MAX: Duration = Duration::from_secs(10);
/// How many calls of an unknown caller may be refused over one connection.
const REFUSALS_MAX: u32 = 20;

/// The connections that are open, or being opened.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: Mutex<Taken>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Taken {
    /// In the order in which they came, by number.
    callers: BTreeMap<u64, Arc<Caller>>,
    unknown: BTreeSet<u64>,
    by_network: HashMap<u64, usize>,
    last: u64,
}

/// A connection's place, given up by its drop.
#[derive(Debug)]
#[must_use = "dropped, the connection counts as closed"]
pub struct Place {
    places: Arc<Places>,
    caller: Arc<Caller>,
}

/// Who is at the other end of a connection, as far as its place is concerned.
#[derive(Debug)]
pub struct Caller {
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
pub(super) enum Crowd {
    /// That in all.
    All,
    /// That of one network.
    Network,
}

impl fmt::Display for Crowd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => write!(
                formatter,
                "all {PLACES_MAX} places for connections are taken"
            ),
            Self::Network => write!(formatter, "{PER_NETWORK_MAX} connections from one address"),
        }
    }
}

/// A place for a connection, if there is one. In a crowd it is that of the oldest
/// unknown caller, who has to go; there is none where all are known.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) place: Option<Place>,
    pub(super) crowd: Option<Crowd>,
}

impl Places {
    /// Finds a place for a caller that nothing is known of yet.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Admission {
        let peer = peer.to_canonical();
        let network = self.hasher.hash_one(smallest(peer));
        let mut taken = self.taken();
        let crowd = taken.crowd(network, peer.is_loopback());
        if let Some(crowd) = crowd
            && !taken.send_away_oldest(crowd, network)
        {
            return Admission {
                place: None,
                crowd: Some(crowd),
            };
        }
        let place = Place {
            places: Arc::clone(self),
            caller: taken.add(network),
        };
        Admission {
            place: Some(place),
            crowd,
        }
    }

    /// Credentials of this caller were accepted: it stays.
    pub(super) fn accepted(&self, caller: &Caller) {
        if caller.is_known.load(Ordering::Relaxed) {
            return;
        }
        let mut taken = self.taken();
        // Whoever has been sent away meanwhile is not there any more.
        taken.unknown.remove(&caller.number);
        caller.is_known.store(true, Ordering::Relaxed);
    }

    /// The table is whole at any time, even if a holder of the lock panicked.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn crowd(&self, network: u64, is_loopback: bool) -> Option<Crowd> {
        let of_network = self.by_network.get(&network).copied().unwrap_or_default();
        if !is_loopback && of_network >= PER_NETWORK_MAX {
            return Some(Crowd::Network);
        }
        let is_full =
            self.callers.len() >= PLACES_MAX || self.unknown.len() >= PLACES_MAX - KEPT_FOR_KNOWN;
        is_full.then_some(Crowd::All)
    }

    fn add(&mut self, network: u64) -> Arc<Caller> {
        self.last += 1;
        let caller = Arc::new(Caller {
            number: self.last,
            network,
            unknown_until: clock::now() + UNKNOWN_MAX,
            is_known: AtomicBool::new(false),
            refusals: AtomicU32::new(0),
            sent_away: CancellationToken::new(),
        });
        self.callers.insert(self.last, Arc::clone(&caller));
        self.unknown.insert(self.last);
        *self.by_network.entry(network).or_default() += 1;
        caller
    }

    /// Takes the place of the unknown caller who came first; whether there is one.
    fn send_away_oldest(&mut self, crowd: Crowd, network: u64) -> bool {
        let mut unknown = self.unknown.iter().filter_map(|n| self.callers.get(n));
        let oldest = unknown.find(|caller| crowd == Crowd::All || caller.network == network);
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

impl Place {
    /// Whose it is.
    pub(super) fn caller(&self) -> Arc<Caller> {
        Arc::clone(&self.caller)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().remove(self.caller.number);
    }
}

impl Caller {
    /// The hash of its network.
    pub(super) fn network(&self) -> u64 {
        self.network
    }

    /// Counts a call that was refused. An unknown caller that does not stop has to
    /// go.
    pub(super) fn refused(&self) {
        let before = self.refusals.fetch_add(1, Ordering::Relaxed);
        if before + 1 >= REFUSALS_MAX && !self.is_known.load(Ordering::Relaxed) {
            self.sent_away.cancel();
        }
    }

    /// How long an answer may take to reach it before the connection ends: half of
    /// what is left, as it may call again.
    pub(super) fn patience(&self, now: Instant) -> Duration {
        if self.is_known.load(Ordering::Relaxed) {
            return Duration::MAX;
        }
        self.unknown_until.saturating_duration_since(now) / 2
    }

    /// Waits until the connection has to end: for a new caller, or because nobody
    /// knows who this one is. Never, once that is known.
    pub(super) async fn has_to_go(self: Arc<Self>) {
        tokio::select! {
            () = self.sent_away.cancelled() => {}
            () = sleep_until(self.unknown_until.into()) => {
                if self.is_known.load(Ordering::Relaxed) {
                    pending::<()>().await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
