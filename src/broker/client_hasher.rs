//! Clients as plain numbers, by which they are known if they come back soon: keyed hashes of
//! the address and of the bridge that is wanted, under a key that changes hourly.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::limits::LimitKey;
use crate::metrics::HourlyHash;
use crate::networks::smallest;
use crate::wire::fingerprint::Fingerprint;
use crate::wire::session_description::SessionDescription;

/// The time for which a key is used.
const KEY_LIFETIME: Duration = Duration::from_hours(1);
/// The time for which the key before it is kept, so that those are known who were here then.
const OVERLAP: Duration = Duration::from_mins(3);

/// Turns clients and offers into plain numbers.
#[derive(Debug)]
pub(super) struct ClientHasher {
    key: LimitKey,
    earlier: Option<LimitKey>,
    since: Instant,
    /// The number of the key.
    hour: u64,
}

/// The numbers of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientNumbers {
    pub(super) id: u64,
    /// The number under the earlier key.
    pub(super) earlier_id: Option<u64>,
    /// The hash of the address alone.
    pub(super) address: HourlyHash,
    pub(super) offer: u64,
}

impl ClientHasher {
    pub(super) fn new(now: Instant, key: LimitKey) -> Self {
        Self {
            key,
            earlier: None,
            since: now,
            hour: 0,
        }
    }

    /// The numbers of a client and its offer. Tor Browser has two clients at once, which want
    /// different bridges. A client that comes again has another offer; an intermediary that
    /// repeats a request has not.
    pub(super) fn client(
        &mut self,
        now: Instant,
        (address, is_vouched_for): (IpAddr, bool),
        bridge: Fingerprint,
        offer: &SessionDescription,
    ) -> ClientNumbers {
        self.advance(now);
        let (network, earlier) = (smallest(address), self.earlier);
        ClientNumbers {
            id: self.key.client(network, is_vouched_for, bridge),
            earlier_id: earlier.map(|key| key.client(network, is_vouched_for, bridge)),
            address: HourlyHash {
                hour: self.hour,
                hash: self.key.source(network),
            },
            offer: match offer.ice_ufrag() {
                Some(ufrag) => self.key.text(ufrag),
                None => self.key.text(&offer.text()),
            },
        }
    }

    /// Replaces the key, and forgets the earlier one, when their time is over.
    pub(super) fn advance(&mut self, now: Instant) {
        while now.saturating_duration_since(self.since) >= KEY_LIFETIME {
            let next = self.key.next();
            self.earlier = Some(std::mem::replace(&mut self.key, next));
            self.since += KEY_LIFETIME;
            self.hour += 1;
        }
        if now.saturating_duration_since(self.since) >= OVERLAP {
            self.earlier = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::clock;

    fn hasher(now: Instant) -> ClientHasher {
        ClientHasher::new(now, LimitKey::from([7; 16]))
    }

    fn numbers(hasher: &mut ClientHasher, now: Instant, address: &str) -> ClientNumbers {
        let offer = SessionDescription::parse(r#"{"type":"offer","sdp":"a=ice-ufrag:one"}"#);
        let sender = (address.parse().unwrap(), true);
        hasher.client(now, sender, Fingerprint::DEFAULT, &offer.unwrap())
    }

    #[test]
    fn a_client_has_other_numbers_in_the_next_hour() {
        let start = clock::now();
        let hasher = &mut hasher(start);
        let before = numbers(hasher, start, "192.0.2.1");
        let late = start + KEY_LIFETIME.mul_f64(0.99);
        assert_eq!(numbers(hasher, late, "192.0.2.1"), before);
        let after = numbers(hasher, start + KEY_LIFETIME, "192.0.2.1");
        assert_eq!(after.earlier_id, Some(before.id));
        assert_ne!(after.id, before.id);
        assert_ne!(after.offer, before.offer);
        assert_ne!(after.address.hash, before.address.hash);
        assert_ne!(after.address.hour, before.address.hour);
    }

    /// Whoever has the memory could try with it which addresses were here.
    #[test]
    fn the_key_of_clients_is_kept_for_63_minutes_though_nobody_comes() {
        let start = clock::now();
        let mut hasher = hasher(start);
        let first = hasher.key;
        let end = start + KEY_LIFETIME;
        hasher.advance(end);
        assert_eq!(hasher.earlier.map(|key| key.text("")), Some(first.text("")));
        hasher.advance(end + OVERLAP);
        assert!(hasher.earlier.is_none());
        assert_ne!(hasher.key.text(""), first.text(""));
    }

    #[test]
    fn who_only_claims_an_address_is_another_client_than_who_has_it() {
        let now = clock::now();
        let hasher = &mut hasher(now);
        let offer = SessionDescription::parse(r#"{"type":"offer","sdp":"v=0"}"#).unwrap();
        let mut id = |is_vouched_for| {
            let sender = ("192.0.2.1".parse().unwrap(), is_vouched_for);
            hasher.client(now, sender, Fingerprint::DEFAULT, &offer).id
        };
        assert_ne!(id(true), id(false));
    }
}
