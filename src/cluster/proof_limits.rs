//! Limits for challenges and their replies, since anybody may repeat what provokes them. Pure.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::metrics::labels::PeerName;

use super::members::Sender;

/// The time in which each process is challenged once: that of two words of supply. A challenge is
/// lost if a server does not know yet that the process listens to it.
const PERIOD: Duration = Duration::from_millis(200);
/// The maximum number of processes that are challenged, and of challenges that are replied to, in
/// that time. There are far fewer, but for those that somebody repeats.
const IN_PERIOD_MAX: usize = 256;

/// The challenges and replies of the current period.
#[derive(Debug, Default)]
pub(super) struct ProofLimits {
    /// The processes that were challenged.
    challenged: OncePerPeriod<(PeerName, u64)>,
    /// The challenges that were replied to: each process's, with its time. So whoever repeats one
    /// holds up no other.
    replied: OncePerPeriod<(PeerName, u64, u64)>,
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

/// A limit of once in a period for each, and for no more than [`IN_PERIOD_MAX`].
#[derive(Debug)]
struct OncePerPeriod<K> {
    since: Option<Instant>,
    done: BTreeSet<K>,
}

impl<K> Default for OncePerPeriod<K> {
    fn default() -> Self {
        Self {
            since: None,
            done: BTreeSet::new(),
        }
    }
}

impl<K: Ord> OncePerPeriod<K> {
    /// Returns true if it may be done now, and notes that it is.
    fn admit(&mut self, now: Instant, key: K) -> bool {
        let is_over = |since| now.saturating_duration_since(since) >= PERIOD;
        if self.since.is_none_or(is_over) {
            self.since = Some(now);
            self.done.clear();
        }
        self.done.len() < IN_PERIOD_MAX && self.done.insert(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::clock;

    #[test]
    fn each_has_one_in_a_period_and_all_together_so_many() {
        let now = clock::now();
        let mut once = OncePerPeriod::default();
        assert!(once.admit(now, 0));
        assert!(!once.admit(now + PERIOD / 2, 0));
        assert!(once.admit(now + PERIOD, 0));
        let admitted = (0..2 * IN_PERIOD_MAX).filter(|&key| once.admit(now + PERIOD * 3 / 2, key));
        assert_eq!(admitted.count(), IN_PERIOD_MAX - 1);
    }
}
