//! The turns of parties of which nobody is here.

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// The last turns of parties, of which the oldest are forgotten when there are too many:
/// such a party counts as one that never had a turn.
#[derive(Debug)]
pub(super) struct PastTurns {
    recent: HashMap<u64, u64, FixedState>,
    /// The table before, of which nothing has been asked for since.
    older: HashMap<u64, u64, FixedState>,
    max: usize,
}

impl PastTurns {
    /// Remembers at least half of `max` parties, and at most `max`.
    pub(super) fn new(max: usize) -> Self {
        Self {
            recent: HashMap::default(),
            older: HashMap::default(),
            max,
        }
    }

    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max;
        self.make_room();
    }

    pub(super) fn remember(&mut self, party: u64, turn: u64) {
        if turn > 0 {
            self.older.remove(&party);
            self.recent.insert(party, turn);
            self.make_room();
        }
    }

    /// The party's turn, which is no longer kept here.
    pub(super) fn take(&mut self, party: u64) -> u64 {
        let turn = self.recent.remove(&party);
        turn.or_else(|| self.older.remove(&party)).unwrap_or(0)
    }

    fn make_room(&mut self) {
        if self.recent.len() >= self.max.div_ceil(2) {
            self.older = std::mem::take(&mut self.recent);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.recent.len() + self.older.len()
    }
}

#[cfg(test)]
mod tests {
    use super::PastTurns;

    #[test]
    fn a_turn_is_taken_once() {
        let mut past = PastTurns::new(10);
        past.remember(1, 7);
        assert_eq!(past.take(1), 7);
        assert_eq!(past.take(1), 0);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut past = PastTurns::new(10);
        for party in 1..=1_000 {
            past.remember(party, party);
            assert!(past.len() <= 10);
        }
        for party in 996..=1_000 {
            assert_eq!(past.take(party), party);
        }
        assert_eq!(past.take(1), 0);
    }
}
