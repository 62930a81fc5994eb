//! How many connections there may be, in all and from one address.
//!
//! An IPv4 address counts as one, and an IPv6 /64. Only hashes of addresses are
//! kept, and each only while a connection from there is open.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use super::{DropReason, Settings};

/// The connections that are open, or being opened.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: Mutex<Open>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Open {
    count: usize,
    by_peer: HashMap<u64, usize>,
}

/// A connection's place among them, given up by its drop.
#[derive(Debug)]
#[must_use = "dropped, the connection counts as closed"]
pub(super) struct Place {
    connections: Arc<Connections>,
    peer: u64,
}

impl Connections {
    /// Counts one more, if the settings let it be served. Peers in `exempt` have
    /// no limit of their own.
    pub(super) fn admit(
        self: &Arc<Self>,
        peer: IpAddr,
        settings: &Settings,
        exempt: &[IpNet],
    ) -> Result<Place, DropReason> {
        let peer = peer.to_canonical();
        let is_exempt = exempt.iter().any(|net| net.contains(&peer));
        let hash = self.hasher.hash_one(network(peer));
        let mut open = self.open();
        if is_over(open.count, settings.max_connections) {
            return Err(DropReason::Connections);
        }
        let of_peer = open.by_peer.get(&hash).copied().unwrap_or_default();
        if !is_exempt && is_over(of_peer, settings.max_connections_per_peer) {
            return Err(DropReason::ConnectionsPerPeer);
        }
        open.count += 1;
        open.by_peer.insert(hash, of_peer + 1);
        Ok(Place {
            connections: Arc::clone(self),
            peer: hash,
        })
    }

    /// Counts are whole at any time, even if a holder of the lock panicked.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.count = open.count.saturating_sub(1);
        if let Some(of_peer) = open.by_peer.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                open.by_peer.remove(&self.peer);
            }
        }
    }
}

/// Whether one more is too many; a limit of 0 is none.
fn is_over(count: usize, most: usize) -> bool {
    most > 0 && count >= most
}

/// What belongs to one user: the address, of IPv6 the /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(max_connections: usize, max_connections_per_peer: usize) -> Settings {
        Settings {
            max_connections,
            max_connections_per_peer,
            ..Settings::default()
        }
    }

    fn ip(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn each_peer_and_all_together_have_their_limit() {
        let connections = Arc::new(Connections::default());
        let settings = settings(3, 2);
        let admit = |peer| connections.admit(ip(peer), &settings, &[]);
        let one = admit("192.0.2.1").unwrap();
        let _mapped = admit("::ffff:192.0.2.1").unwrap();
        assert_eq!(
            admit("192.0.2.1").unwrap_err(),
            DropReason::ConnectionsPerPeer
        );
        let _other = admit("192.0.2.2").unwrap();
        assert_eq!(admit("192.0.2.3").unwrap_err(), DropReason::Connections);
        drop(one);
        let again = admit("192.0.2.1").unwrap();
        drop(again);
    }

    #[test]
    fn a_64_counts_as_one_peer() {
        let connections = Arc::new(Connections::default());
        let settings = settings(0, 1);
        let admit = |peer| connections.admit(ip(peer), &settings, &[]);
        let _one = admit("2001:db8:0:1::1").unwrap();
        assert!(admit("2001:db8:0:1:ffff::2").is_err());
        let _other = admit("2001:db8:0:2::1").unwrap();
    }

    #[test]
    fn exempt_peers_only_count_in_all() {
        let connections = Arc::new(Connections::default());
        let settings = settings(4, 1);
        let exempt = ["10.0.0.0/8".parse().unwrap()];
        let admit = |peer| connections.admit(ip(peer), &settings, &exempt);
        let _ours: Vec<Place> = ["10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"]
            .map(|peer| admit(peer).unwrap())
            .into();
        assert_eq!(admit("10.0.0.1").unwrap_err(), DropReason::Connections);
    }

    #[test]
    fn nothing_is_kept_of_peers_that_are_gone() {
        let connections = Arc::new(Connections::default());
        let unlimited = settings(0, 0);
        let places: Vec<Place> = (0..1_000_u32)
            .map(|peer| {
                let peer = std::net::Ipv4Addr::from(peer).into();
                connections.admit(peer, &unlimited, &[]).unwrap()
            })
            .collect();
        assert_eq!(connections.open().by_peer.len(), 1_000);
        drop(places);
        assert!(connections.open().by_peer.is_empty());
        assert_eq!(connections.open().count, 0);
    }
}
