//! The offers of this broker by keyed digests of their Sids, so that another node of the
//! cluster can find one without naming the Sid.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};
use slotmap::SecondaryMap;

use crate::matching::PollKey;
use crate::wire::proxy::Sid;

/// A secret key of digests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SidKey([u8; 16]);

/// The digest of a Sid under a [`SidKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SidDigest([u8; 16]);

/// The Sids of offers whose proxies may still answer. Each has an entry a key.
#[derive(Debug, Default)]
pub(super) struct SidDigests {
    keys: Vec<SidKey>,
    sids: HashMap<SidDigest, Sid>,
    of_polls: SecondaryMap<PollKey, Sid>,
}

impl SidKey {
    /// The digest of a Sid.
    pub fn digest(self, sid: &Sid) -> SidDigest {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        sid.hash(&mut hasher);
        SidDigest(hasher.finish128().as_bytes())
    }
}

impl From<[u8; 16]> for SidKey {
    fn from(key: [u8; 16]) -> Self {
        Self(key)
    }
}

impl fmt::Debug for SidKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SidKey(..)")
    }
}

impl SidDigest {
    /// The digest in a message; `None` if it has another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes of the digest.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl SidDigests {
    pub(super) fn new(keys: Vec<SidKey>) -> Self {
        Self {
            keys,
            ..Self::default()
        }
    }

    pub(super) fn keys(&self) -> Vec<SidKey> {
        self.keys.clone()
    }

    /// Adds the offer that a poll has got.
    pub(super) fn handed_off(&mut self, poll: PollKey, sid: Sid) {
        if self.keys.is_empty() {
            return;
        }
        self.of_polls.insert(poll, sid);
        for key in &self.keys {
            self.sids.insert(key.digest(&sid), sid);
        }
    }

    /// Removes the offer of a poll.
    pub(super) fn ended(&mut self, poll: PollKey) {
        let Some(sid) = self.of_polls.remove(poll) else {
            return;
        };
        for key in &self.keys {
            self.sids.remove(&key.digest(&sid));
        }
    }

    /// The Sid of this digest, if an offer is known.
    pub(super) fn find(&self, digest: SidDigest) -> Option<Sid> {
        self.sids.get(&digest).copied()
    }
}

#[cfg(test)]
mod tests {
    use slotmap::SlotMap;

    use super::*;

    fn sid(name: &str) -> Sid {
        Sid::new(name).expect("not empty")
    }

    #[test]
    fn an_offer_is_found_by_its_digest_under_any_key_until_it_has_ended() {
        let keys = [[1; 16], [2; 16]].map(SidKey::from);
        let mut digests = SidDigests::new(keys.to_vec());
        let mut polls = SlotMap::<PollKey, ()>::with_key();
        let [one, other] = [polls.insert(()), polls.insert(())];
        digests.handed_off(one, sid("one"));
        digests.handed_off(other, sid("other"));
        for key in keys {
            assert_eq!(digests.find(key.digest(&sid("one"))), Some(sid("one")));
        }
        let stranger = SidKey::from([3; 16]);
        assert_eq!(digests.find(stranger.digest(&sid("one"))), None);
        digests.ended(one);
        assert_eq!(digests.find(keys[1].digest(&sid("one"))), None);
        digests.ended(other);
        digests.ended(other);
        assert!(digests.sids.is_empty() && digests.of_polls.is_empty());
    }

    #[test]
    fn without_a_cluster_nothing_is_kept() {
        let mut digests = SidDigests::default();
        let mut polls = SlotMap::<PollKey, ()>::with_key();
        digests.handed_off(polls.insert(()), sid("one"));
        assert!(digests.sids.is_empty() && digests.of_polls.is_empty());
    }
}
