//! Limits for challenges and their replies, since anybody may repeat what provokes them. Pure.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::metrics::labels::PeerName;

use super::members::Sender;

/// The maximum number of processes that are challenged, and of challenges that are replied to, in
/// a second. There are far fewer, but for those that somebody repeats.
const A_SECOND_MAX: usize = 1_024;

/// The challenges and replies of this second.
#[derive(Debug, Default)]
pub(super) struct ProofLimits {
    /// The processes that were challenged.
    challenged: OncePerSecond<(PeerName, u64)>,
    /// The challenges that were replied to: each process's, with its time. So whoever repeats one
    /// holds up no other.
    replied: OncePerSecond<(PeerName, u64, u64)>,
}

impl ProofLimits {
    /// Returns true if a process may be challenged now, and notes that it is.
    pub(super) fn challenge(&mut self, now: Instant, sender: Sender<'_>) -> bool {
        let process = (PeerName::from(sender.node), sender.incarnation);
        self.challenged.admit(now, process)
    }

    /// Returns true if a challenge may be replied to now, and notes that it is.
    pub(super) fn reply(&mut self, now: Instant, sender: Sender<'_>) -> bool {
        let name = PeerName::from(sender.node);
        let asked = (name, sender.incarnation, sender.sent_at_ms);
        self.replied.admit(now, asked)
    }
}

/// A limit of once a second for each, and for no more than [`A_SECOND_MAX`].
#[derive(Debug)]
struct OncePerSecond<K> {
    since: Option<Instant>,
    done: BTreeSet<K>,
}

impl<K> Default for OncePerSecond<K> {
    fn default() -> Self {
        Self {
            since: None,
            done: BTreeSet::new(),
        }
    }
}

impl<K: Ord> OncePerSecond<K> {
    /// Returns true if it may be done now, and notes that it is.
    fn admit(&mut self, now: Instant, key: K) -> bool {
        let is_over = |since| now.saturating_duration_since(since) >= Duration::from_secs(1);
        if self.since.is_none_or(is_over) {
            self.since = Some(now);
            self.done.clear();
        }
        self.done.len() < A_SECOND_MAX && self.done.insert(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::clock;

    #[test]
    fn each_has_one_a_second_and_all_together_so_many() {
        let now = clock::now();
        let mut once = OncePerSecond::default();
        assert!(once.admit(now, 0));
        assert!(!once.admit(now + Duration::from_millis(999), 0));
        assert!(once.admit(now + Duration::from_secs(1), 0));
        let admitted = (0..2 * A_SECOND_MAX)
            .filter(|&key| once.admit(now + Duration::from_millis(1_999), key));
        assert_eq!(admitted.count(), A_SECOND_MAX - 1);
    }
}
