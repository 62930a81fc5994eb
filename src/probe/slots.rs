//! The probes under way: at most so many in all, for one address, and for the networks
//! around it. Only hashes of networks are kept, and only while a probe is under way.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::networks::{LEVELS, around};

/// The shares of the networks around an address, the smallest first, as multiples of an
/// address' share.
const FACTORS: [usize; LEVELS] = [1, 4, 8];

/// The table of probes under way. It has no more entries than a few for each slot.
#[derive(Debug)]
pub(super) struct ProbeSlots {
    most: usize,
    most_of_address: usize,
    taken: Mutex<TakenSlots>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct TakenSlots {
    count: usize,
    by_network: HashMap<u64, usize>,
}

/// A probe's slot, released on drop.
#[derive(Debug)]
#[must_use = "dropped, the probe counts as over"]
pub(super) struct ProbeSlot {
    slots: Arc<ProbeSlots>,
    networks: Vec<u64>,
}

/// The limit that leaves no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoSlot {
    #[error("as many as probe.max_probes are under way")]
    InAll,
    #[error("its address or network has as many as probe.max_probes_per_address allows")]
    OfNetwork,
}

impl ProbeSlots {
    pub(super) fn new(most: usize, most_of_address: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_of_address,
            taken: Mutex::default(),
            hasher: RandomState::default(),
        })
    }

    /// The number of probes under way.
    pub(super) fn count(&self) -> usize {
        self.taken().count
    }

    /// Takes a slot for a proxy at this address; one whose address is not known has only
    /// the limit of all.
    pub(super) fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Result<ProbeSlot, NoSlot> {
        let networks = address.into_iter().flat_map(around);
        let networks: Vec<u64> = networks.map(|net| self.hasher.hash_one(net)).collect();
        let mut taken = self.taken();
        let shares = networks.iter().zip(FACTORS);
        let is_over = |(network, factor): (&u64, usize)| {
            let of_network = taken.by_network.get(network).copied().unwrap_or_default();
            of_network >= self.most_of_address.saturating_mul(factor)
        };
        if shares.into_iter().any(is_over) {
            return Err(NoSlot::OfNetwork);
        }
        if taken.count >= self.most {
            return Err(NoSlot::InAll);
        }
        taken.count += 1;
        for network in &networks {
            *taken.by_network.entry(*network).or_default() += 1;
        }
        Ok(ProbeSlot {
            slots: Arc::clone(self),
            networks,
        })
    }

    /// The table is consistent even if a thread panicked while holding the lock.
    fn taken(&self) -> MutexGuard<'_, TakenSlots> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ProbeSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        taken.count -= 1;
        for network in &self.networks {
            if let Some(of_network) = taken.by_network.get_mut(network) {
                *of_network -= 1;
                if *of_network == 0 {
                    taken.by_network.remove(network);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(slots: &Arc<ProbeSlots>, address: &str) -> Result<ProbeSlot, NoSlot> {
        slots.take(Some(address.parse().unwrap()))
    }

    #[test]
    fn an_address_and_its_network_have_shares() {
        let slots = ProbeSlots::new(100, 1);
        let take = |address| take(&slots, address);
        let first = take("192.0.2.1").unwrap();
        assert_eq!(take("192.0.2.1").unwrap_err(), NoSlot::OfNetwork);
        assert_eq!(take("::ffff:192.0.2.1").unwrap_err(), NoSlot::OfNetwork);
        let others: Vec<ProbeSlot> = ["192.0.2.2", "192.0.2.3", "192.0.2.4"]
            .map(|text| take(text).unwrap())
            .into();
        assert_eq!(take("192.0.2.5").unwrap_err(), NoSlot::OfNetwork);
        let elsewhere = take("192.0.3.1").unwrap();
        drop(first);
        let again = take("192.0.2.1").unwrap();
        drop((others, elsewhere, again));
        assert_eq!(slots.count(), 0);
        assert!(slots.taken().by_network.is_empty());
    }

    #[test]
    fn all_together_have_a_limit() {
        let slots = ProbeSlots::new(2, 1);
        let (first, second) = (slots.take(None), take(&slots, "2001:db8::1"));
        assert_eq!(slots.take(None).unwrap_err(), NoSlot::InAll);
        drop((first, second));
        drop(slots.take(None).unwrap());
    }
}
