//! An order in which parties take turns: who was served longest ago is first.

use std::collections::BTreeMap;

use super::requests::Band;

/// The bits of the number of a turn; those above are the band.
const NUMBER_BITS: u32 = 62;

/// The place of a party in the order: by its band, then by its last turn or arrival. Those
/// who are served as they come are before all others of their band.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn(u64);

impl Turn {
    pub(super) const FIRST_COME: Self = Self(0);
    /// Before all who had a turn; numbers begin at 1.
    pub(super) const BEFORE_ALL_TURNS: Self = Self(1);

    /// The last turn of a party, by a number that grows with each turn and arrival; 0
    /// stands for never.
    pub(super) fn last(number: u64) -> Self {
        Self(number)
    }

    /// The same place in a band; all others are of the first one.
    pub(super) fn of(self, band: Band) -> Self {
        Self((band as u64) << NUMBER_BITS | self.0)
    }

    /// Returns true if it is of the band or of a later one.
    pub(super) fn is_from(self, band: Band) -> bool {
        self >= Self::FIRST_COME.of(band)
    }
}

/// Those of one party who wait, by rank. Most parties have one member, and pay for no tree.
#[derive(Debug)]
pub(super) struct PartyMembers<Rank, Key> {
    first: Option<(Rank, Key)>,
    others: BTreeMap<Rank, Key>,
}

impl<Rank, Key> Default for PartyMembers<Rank, Key> {
    fn default() -> Self {
        Self {
            first: None,
            others: BTreeMap::new(),
        }
    }
}

impl<Rank: Copy + Ord, Key: Copy> PartyMembers<Rank, Key> {
    pub(super) fn first(&self) -> Option<(Rank, Key)> {
        self.first
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Rank, Key)> {
        let others = self.others.iter().map(|(&rank, &key)| (rank, key));
        self.first.into_iter().chain(others)
    }

    fn insert(&mut self, rank: Rank, key: Key) {
        let Some(first) = self.first else {
            self.first = Some((rank, key));
            return;
        };
        let mut later = (rank, key);
        if rank < first.0 {
            self.first = Some(later);
            later = first;
        }
        self.others.insert(later.0, later.1);
    }

    /// Returns true if it was there.
    fn remove(&mut self, rank: Rank) -> bool {
        if self.first.is_some_and(|(first, _)| first == rank) {
            self.first = self.others.pop_first();
            return true;
        }
        self.others.remove(&rank).is_some()
    }
}

/// Those who wait, in order: by the last turn of their party, then by rank. Of each party
/// the first member is here; the party's [`PartyMembers`] are kept by those who know it, and
/// passed to each call. Ranks are unique. A party whose turn is `None` is not in the order,
/// though its members wait.
#[derive(Debug)]
pub(super) struct TurnOrder<Rank, Key> {
    firsts: BTreeMap<(Turn, Rank), Key>,
    len: usize,
}

impl<Rank, Key> Default for TurnOrder<Rank, Key> {
    fn default() -> Self {
        Self {
            firsts: BTreeMap::new(),
            len: 0,
        }
    }
}

impl<Rank: Copy + Default + Ord, Key: Copy> TurnOrder<Rank, Key> {
    pub(super) fn insert(
        &mut self,
        turn: Option<Turn>,
        party: &mut PartyMembers<Rank, Key>,
        rank: Rank,
        key: Key,
    ) {
        let before = party.first;
        party.insert(rank, key);
        self.len += 1;
        self.replace_first(turn, before, party.first);
    }

    /// Returns true if it was there.
    pub(super) fn remove(
        &mut self,
        turn: Option<Turn>,
        party: &mut PartyMembers<Rank, Key>,
        rank: Rank,
    ) -> bool {
        let before = party.first;
        let was_there = party.remove(rank);
        self.len -= usize::from(was_there);
        self.replace_first(turn, before, party.first);
        was_there
    }

    fn replace_first(
        &mut self,
        turn: Option<Turn>,
        before: Option<(Rank, Key)>,
        after: Option<(Rank, Key)>,
    ) {
        let rank = |first: Option<(Rank, Key)>| first.map(|(rank, _)| rank);
        let Some(turn) = turn.filter(|_| rank(before) != rank(after)) else {
            return;
        };
        if let Some((rank, _)) = before {
            self.firsts.remove(&(turn, rank));
        }
        self.firsts
            .extend(after.map(|(rank, key)| ((turn, rank), key)));
    }

    /// Adds one who is no member of a party.
    pub(super) fn insert_alone(&mut self, turn: Turn, rank: Rank, key: Key) {
        self.firsts.insert((turn, rank), key);
        self.len += 1;
    }

    /// Returns true if it was there.
    pub(super) fn remove_alone(&mut self, turn: Turn, rank: Rank) -> bool {
        let was_there = self.firsts.remove(&(turn, rank)).is_some();
        self.len -= usize::from(was_there);
        was_there
    }

    /// Changes the turn of a party.
    pub(super) fn change_turn(
        &mut self,
        party: &PartyMembers<Rank, Key>,
        from: Option<Turn>,
        to: Option<Turn>,
    ) {
        let Some((rank, key)) = party.first else {
            return;
        };
        if let Some(turn) = from {
            self.firsts.remove(&(turn, rank));
        }
        if let Some(turn) = to {
            self.firsts.insert((turn, rank), key);
        }
    }

    /// The first of each party, in order.
    pub(super) fn firsts(&self) -> impl Iterator<Item = ((Turn, Rank), Key)> {
        self.firsts.iter().map(|(&place, &key)| (place, key))
    }

    /// The first of each party from the band on, in order.
    pub(super) fn firsts_from(&self, band: Band) -> impl Iterator<Item = ((Turn, Rank), Key)> {
        let start = (Turn::FIRST_COME.of(band), Rank::default());
        self.firsts
            .range(start..)
            .map(|(&place, &key)| (place, key))
    }

    /// The number of parties in the order, and of those who are in none.
    pub(super) fn parties(&self) -> usize {
        self.firsts.len()
    }

    /// The number of all who wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}
