//! An order in which parties take turns: who was served longest ago is first.

use std::collections::BTreeMap;

/// The place of a party in the order, by its last turn or arrival. The default is that of
/// those who are served as they come, before all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn(u64);

impl Turn {
    pub(super) const FIRST_COME: Self = Self(0);

    /// The last turn of a party, by a number that grows with each turn and arrival; 0
    /// stands for never.
    pub(super) fn last(number: u64) -> Self {
        Self(number)
    }
}

/// Those who take one turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Party {
    /// All of one source or network.
    Of(u64),
    /// One whose source is not known, by the number of its arrival.
    Alone(u64),
}

/// Those who wait, in order: by the last turn of their party, then by rank. Ranks are
/// unique. A party whose turn is `None` is not in the order, though its members wait.
#[derive(Debug)]
pub(super) struct TurnOrder<Rank, Key> {
    /// The first of each party.
    firsts: BTreeMap<(Turn, Rank, Party), Key>,
    by_party: BTreeMap<(Party, Rank), Key>,
}

impl<Rank, Key> Default for TurnOrder<Rank, Key> {
    fn default() -> Self {
        Self {
            firsts: BTreeMap::new(),
            by_party: BTreeMap::new(),
        }
    }
}

impl<Rank: Copy + Ord + RankBounds, Key: Copy> TurnOrder<Rank, Key> {
    pub(super) fn insert(&mut self, turn: Option<Turn>, party: Party, rank: Rank, key: Key) {
        let before = self.first_of(party);
        self.by_party.insert((party, rank), key);
        let Some(turn) = turn else {
            return;
        };
        match before {
            Some((first, _)) if first < rank => return,
            Some((first, _)) => {
                self.firsts.remove(&(turn, first, party));
            }
            None => {}
        }
        self.firsts.insert((turn, rank, party), key);
    }

    /// Returns true if it was there.
    pub(super) fn remove(&mut self, turn: Option<Turn>, party: Party, rank: Rank) -> bool {
        let is_known = self.by_party.remove(&(party, rank)).is_some();
        if let Some(turn) = turn
            && self.firsts.remove(&(turn, rank, party)).is_some()
        {
            self.enter(turn, party);
        }
        is_known
    }

    /// Changes the turn of a party.
    pub(super) fn change_turn(&mut self, party: Party, from: Option<Turn>, to: Option<Turn>) {
        if let (Some(turn), Some((first, _))) = (from, self.first_of(party)) {
            self.firsts.remove(&(turn, first, party));
        }
        if let Some(turn) = to {
            self.enter(turn, party);
        }
    }

    fn enter(&mut self, turn: Turn, party: Party) {
        if let Some((first, key)) = self.first_of(party) {
            self.firsts.insert((turn, first, party), key);
        }
    }

    /// The first member of a party, whether it is in the order or not.
    pub(super) fn first_of(&self, party: Party) -> Option<(Rank, Key)> {
        self.members(party).next()
    }

    /// The first of each party, in order.
    pub(super) fn firsts(&self) -> impl Iterator<Item = Key> {
        self.firsts.values().copied()
    }

    /// All who are in the order: one party after the other.
    pub(super) fn in_order(&self) -> impl Iterator<Item = ((Turn, Rank), Key)> {
        let firsts = self.firsts.keys();
        firsts.flat_map(|&(turn, _, party)| {
            let members = self.members(party);
            members.map(move |(rank, key)| ((turn, rank), key))
        })
    }

    fn members(&self, party: Party) -> impl Iterator<Item = (Rank, Key)> {
        let members = (party, Rank::FIRST)..=(party, Rank::LAST);
        let members = self.by_party.range(members);
        members.map(|(&(_, rank), &key)| (rank, key))
    }

    /// The number of all who wait.
    pub(super) fn len(&self) -> usize {
        self.by_party.len()
    }

    /// All who wait, in no order.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.by_party.values().copied()
    }
}

/// The least and the greatest rank.
pub(super) trait RankBounds {
    const FIRST: Self;
    const LAST: Self;
}

impl RankBounds for u64 {
    const FIRST: Self = Self::MIN;
    const LAST: Self = Self::MAX;
}

impl RankBounds for (u64, u64) {
    const FIRST: Self = (u64::MIN, u64::MIN);
    const LAST: Self = (u64::MAX, u64::MAX);
}
