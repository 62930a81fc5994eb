//! The votes of clients on sources in a day: one for each source, and one against each of a few.

use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;

/// The time for which votes are remembered.
const LIFETIME: Duration = Duration::from_hours(24);
/// The most votes of a client against sources in a day.
const AGAINST: u64 = 24;
/// The bits of the first filter, and the factor of each further one.
const BITS_MIN: usize = 1 << 16;
const GROWTH: usize = 4;
/// The bits of the last filter: 16 MiB.
const BITS_MAX: usize = 1 << 27;
/// The bits of a filter for each vote, and those of them that are set, by which about one in a
/// hundred first votes is taken for a second one.
const BITS_A_VOTE: usize = 12;
const BITS_SET: u32 = 6;

/// Bloom filters of all votes, each larger than the one before: nobody's votes can be listed
/// from them.
#[derive(Debug)]
pub(super) struct Votes {
    since: Instant,
    filters: Vec<VoteFilter>,
}

#[derive(Debug)]
struct VoteFilter {
    words: Vec<u64>,
    votes: usize,
}

impl Votes {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            filters: vec![VoteFilter::new(BITS_MIN)],
        }
    }

    /// Forgets all votes when their day is over.
    pub(super) fn advance(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) >= LIFETIME {
            *self = Self::new(now);
        }
    }

    /// Returns true if it is the voter's first vote of this kind on the source today.
    pub(super) fn is_first(&mut self, now: Instant, voter: u64, source: u64, is_for: bool) -> bool {
        self.advance(now);
        // All sources of a slot share a voter's vote against them, which bounds the votes that
        // one can cast against others.
        let slot = if is_for { source } else { source % AGAINST };
        let vote = FixedState::default().hash_one((voter, slot, is_for));
        if self.filters.iter().any(|filter| filter.has(vote)) {
            return false;
        }
        self.with_room().insert(vote);
        true
    }

    /// The last filter, once it is not full. If there can be no more, all begins anew.
    fn with_room(&mut self) -> &mut VoteFilter {
        let is_full = |filter: &VoteFilter| filter.votes * BITS_A_VOTE >= filter.bits();
        let bits = match self.filters.last() {
            Some(last) if !is_full(last) => None,
            Some(last) if last.bits() < BITS_MAX => Some((last.bits() * GROWTH).min(BITS_MAX)),
            _ => {
                self.filters.clear();
                Some(BITS_MIN)
            }
        };
        self.filters.extend(bits.map(VoteFilter::new));
        let last = self.filters.len() - 1;
        &mut self.filters[last]
    }
}

impl VoteFilter {
    fn new(bits: usize) -> Self {
        Self {
            words: vec![0; bits / 64],
            votes: 0,
        }
    }

    fn bits(&self) -> usize {
        self.words.len() * 64
    }

    fn has(&self, vote: u64) -> bool {
        self.places(vote)
            .all(|(word, bit)| self.words[word] & bit != 0)
    }

    fn insert(&mut self, vote: u64) {
        let places: Vec<_> = self.places(vote).collect();
        for (word, bit) in places {
            self.words[word] |= bit;
        }
        self.votes += 1;
    }

    /// The words and bits of a vote. The number of words is a power of two.
    fn places(&self, vote: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let mask = self.words.len() as u64 - 1;
        (0..BITS_SET).map(move |number| {
            let hash = FixedState::with_seed(u64::from(number)).hash_one(vote);
            let word = usize::try_from(hash >> 6 & mask).unwrap_or(0);
            (word, 1 << (hash & 63))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::clock;

    #[test]
    fn a_client_has_one_vote_for_and_one_against_a_source() {
        let now = clock::now();
        let mut votes = Votes::new(now);
        assert!(votes.is_first(now, 1, 2, true));
        assert!(!votes.is_first(now, 1, 2, true));
        assert!(votes.is_first(now, 1, 2, false));
        assert!(votes.is_first(now, 2, 1, true));
        assert!(votes.is_first(now + LIFETIME, 1, 2, true));
    }

    #[test]
    fn a_client_has_few_votes_against_sources() {
        let now = clock::now();
        let mut votes = Votes::new(now);
        let against = (0..1_000).filter(|&source| votes.is_first(now, 1, source, false));
        assert_eq!(against.count(), 24);
        let others = (0..24).filter(|&source| votes.is_first(now, 2, source, false));
        assert_eq!(others.count(), 24);
    }

    /// At a large broker there are some millions of matches a day.
    #[test]
    fn few_votes_are_lost_among_many() {
        let now = clock::now();
        let mut votes = Votes::new(now);
        let many = 300_000_u64;
        let counted = (0..many).filter(|&voter| votes.is_first(now, voter, 7, true));
        let counted = counted.count() as u64;
        assert!(counted * 100 > many * 98, "{counted}");
        let again = (0..many).filter(|&voter| votes.is_first(now, voter, 7, true));
        let again = again.count() as u64;
        assert!(again * 100 < many * 2, "{again}");
    }

    #[test]
    fn votes_are_forgotten_after_a_day_though_nobody_votes() {
        let now = clock::now();
        let mut votes = Votes::new(now);
        votes.is_first(now, 1, 2, true);
        let bits = |votes: &Votes| {
            let words = votes.filters.iter().flat_map(|filter| &filter.words);
            words.map(|word| word.count_ones()).sum::<u32>()
        };
        votes.advance(now + LIFETIME.mul_f64(0.99));
        assert_eq!(bits(&votes), BITS_SET);
        votes.advance(now + LIFETIME);
        assert_eq!(bits(&votes), 0);
    }

    /// Whoever has the memory and the key can try whether an address has voted on a source.
    #[test]
    fn whoever_tries_who_has_voted_errs_in_one_of_a_hundred_cases() {
        let now = clock::now();
        let mut votes = Votes::new(now);
        let most = BITS_MIN / BITS_A_VOTE;
        for voter in 0..most as u64 {
            votes.is_first(now, voter, 7, true);
        }
        let filter = &votes.filters[0];
        let others = 1_000_000..1_100_000_u64;
        let taken_for_voters = others.filter(|&voter| {
            let vote = FixedState::default().hash_one((voter, 7_u64, true));
            filter.has(vote)
        });
        let taken_for_voters = taken_for_voters.count();
        assert!(
            (100..1_500).contains(&taken_for_voters),
            "{taken_for_voters}"
        );
    }

    #[test]
    fn the_filters_are_bounded() {
        let mut votes = Votes::new(clock::now());
        let mut filters = 0;
        for _ in 0..20 {
            let last = votes.with_room();
            last.votes = last.bits();
            filters = filters.max(votes.filters.len());
        }
        assert_eq!(filters, 7);
    }
}
