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

    fn advance(&mut self, now: Instant) {
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
