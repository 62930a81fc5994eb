//! The readers of a live status page: limited in total and by network.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::listener::accounts::Payer;
use crate::networks::site;

/// The limits of readers.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReaderLimits {
    /// The most readers.
    pub(super) all: usize,
    /// The most readers behind an address, or of IPv6 in a /48: many have one to themselves.
    /// Peers that forward for many have no such limit.
    pub(super) of_network: usize,
}

/// The present readers.
#[derive(Debug)]
pub(super) struct LiveReaders {
    limits: ReaderLimits,
    counts: Mutex<ReaderCounts>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct ReaderCounts {
    all: usize,
    /// The readers of each network, by its hash.
    by_network: HashMap<u64, usize>,
}

/// A reader, until dropped.
#[derive(Debug)]
#[must_use = "dropped, the reader counts as gone"]
pub(super) struct LiveReader {
    readers: Arc<LiveReaders>,
    network: Option<u64>,
}

impl LiveReaders {
    pub(super) fn new(limits: ReaderLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            counts: Mutex::default(),
            hasher: RandomState::default(),
        })
    }

    /// Adds a reader, unless there are too many.
    pub(super) fn add(self: &Arc<Self>, payer: Payer) -> Option<LiveReader> {
        let network = match payer {
            Payer::Address(address) => Some(self.hasher.hash_one(site(address))),
            Payer::Many => None,
        };
        let mut counts = self.counts();
        if counts.all >= self.limits.all {
            return None;
        }
        if let Some(network) = network {
            let of_network = counts.by_network.entry(network).or_default();
            if *of_network >= self.limits.of_network {
                return None;
            }
            *of_network += 1;
        }
        counts.all += 1;
        Some(LiveReader {
            readers: Arc::clone(self),
            network,
        })
    }

    /// Each change leaves the counts whole, so a panic elsewhere does not matter.
    fn counts(&self) -> MutexGuard<'_, ReaderCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LiveReader {
    fn drop(&mut self) {
        let mut counts = self.readers.counts();
        counts.all -= 1;
        let Some(network) = self.network else {
            return;
        };
        if let Some(of_network) = counts.by_network.get_mut(&network) {
            *of_network -= 1;
            if *of_network == 0 {
                counts.by_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readers() -> Arc<LiveReaders> {
        LiveReaders::new(ReaderLimits {
            all: 3,
            of_network: 1,
        })
    }

    fn payer(address: &str) -> Payer {
        Payer::Address(address.parse().unwrap())
    }

    #[test]
    fn a_network_and_all_together_have_limits() {
        let readers = readers();
        let one = readers.add(payer("2001:db8::1")).unwrap();
        assert!(readers.add(payer("2001:db8:0:ffff::2")).is_none());
        let other = readers.add(payer("2001:db8:1::1")).unwrap();
        let third = readers.add(payer("192.0.2.1")).unwrap();
        assert!(readers.add(payer("192.0.2.2")).is_none());
        drop(one);
        assert!(readers.add(payer("2001:db8::2")).is_some());
        drop((other, third));
        let counts = readers.counts();
        assert!(counts.all == 0 && counts.by_network.is_empty());
    }

    #[test]
    fn whoever_forwards_for_many_may_have_all() {
        let readers = readers();
        let all: Vec<_> = (0..3).map(|_| readers.add(Payer::Many)).collect();
        assert!(all.iter().all(Option::is_some));
        assert!(readers.add(Payer::Many).is_none());
    }
}
