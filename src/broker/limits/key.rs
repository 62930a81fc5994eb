//! Keys of buckets: keyed hashes of networks.

use std::fmt;
use std::hash::{Hash as _, Hasher as _};
use std::net::IpAddr;

use ipnet::IpNet;
use siphasher::sip::SipHasher24;
use siphasher::sip128;
use siphasher::sip128::Hasher128 as _;

use crate::geoip::CountryCode;
use crate::networks::smallest;
use crate::wire::fingerprint::Fingerprint;

/// The key of the first hour's hashes: 128 random bits from the caller. `Debug` does not
/// show it, it is never written anywhere, and only the nodes of a cluster tell each other
/// theirs of sources.
#[derive(Clone, Copy)]
pub struct LimitKey([u8; 16]);

impl From<[u8; 16]> for LimitKey {
    fn from(random: [u8; 16]) -> Self {
        Self(random)
    }
}

impl fmt::Debug for LimitKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LimitKey(..)")
    }
}

/// The role in which an address has a bucket.
#[derive(Clone, Copy)]
pub(super) enum BucketRole {
    /// It sends requests of its own.
    Sender,
    /// It forwards the requests of many senders.
    Intermediary,
    /// It claims to forward for others.
    Claimant,
    /// An intermediary's client claims it.
    Claimed,
    /// This claimant claims it for itself or its client.
    ClaimedBy(IpAddr),
}

/// The network of a client or proxy, as far as it is known.
#[derive(Clone, Copy)]
pub(in crate::broker) enum PlaceNetwork {
    /// An autonomous system.
    System(u32),
    /// A network around the address.
    Around(IpNet),
}

impl LimitKey {
    /// The hash of a network's bucket in a role.
    pub(super) fn hash(self, role: BucketRole, network: IpNet) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        let role = match role {
            BucketRole::Sender => 0,
            BucketRole::Intermediary => 1,
            BucketRole::Claimant => 2,
            BucketRole::Claimed => 3,
            BucketRole::ClaimedBy(peer) => {
                write_network(&mut hasher, smallest(peer));
                4
            }
        };
        hasher.write_u8(role);
        write_network(&mut hasher, network);
        hasher.finish()
    }

    /// The hash of a network, under a key that is used for no limits.
    pub(in crate::broker) fn source(self, network: IpNet) -> u64 {
        self.hash(BucketRole::Sender, network)
    }

    /// The hash of a network as a voter, which is another than that as a source.
    pub(in crate::broker) fn voter(self, network: IpNet) -> u64 {
        self.hash(BucketRole::Claimed, network)
    }

    /// The hash of a client: of its network and of the bridge that it wants. Whoever only
    /// claims an address is another than who has it.
    pub(in crate::broker) fn client(
        self,
        network: IpNet,
        is_vouched_for: bool,
        bridge: Fingerprint,
    ) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write_u8(is_vouched_for.into());
        write_network(&mut hasher, network);
        bridge.hash(&mut hasher);
        hasher.finish()
    }

    /// The hash of a text.
    pub(in crate::broker) fn text(self, text: &str) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(text.as_bytes());
        hasher.finish()
    }

    /// The hash of a country and the network in it, either an autonomous system or the
    /// network around an address, under a key that is used for nothing else.
    pub(in crate::broker) fn place(self, country: CountryCode, network: PlaceNetwork) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write_u8(5);
        hasher.write(country.as_str().as_bytes());
        match network {
            PlaceNetwork::System(asn) => hasher.write_u32(asn),
            PlaceNetwork::Around(network) => write_network(&mut hasher, network),
        }
        hasher.finish()
    }

    /// The key itself, for the other nodes of a cluster.
    pub(in crate::broker) fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The key of the next period, from which this one cannot be recovered.
    pub(in crate::broker) fn next(self) -> Self {
        let mut hasher = sip128::SipHasher24::new_with_key(&self.0);
        hasher.write(b"the next hour's key");
        Self(hasher.finish128().as_bytes())
    }
}

fn write_network(hasher: &mut SipHasher24, network: IpNet) {
    hasher.write_u8(network.prefix_len());
    match network.network() {
        IpAddr::V4(address) => hasher.write(&address.octets()),
        // The smallest IPv6 network is a /64.
        IpAddr::V6(address) => hasher.write(&address.octets()[..8]),
    }
}
