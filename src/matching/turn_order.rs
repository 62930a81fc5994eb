//! An order in which parties take turns: who was served longest ago is first.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::iter;

use foldhash::fast::FixedState;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    firsts: BTreeMap<(Turn, Rank), (Party, Key)>,
    parties: HashMap<Party, Members<Rank, Key>, FixedState>,
    len: usize,
}

/// The members of a party. Most parties have no others, and pay for no tree.
#[derive(Debug)]
struct Members<Rank, Key> {
    first: (Rank, Key),
    others: BTreeMap<Rank, Key>,
}

impl<Rank, Key> Default for TurnOrder<Rank, Key> {
    fn default() -> Self {
        Self {
            firsts: BTreeMap::new(),
            parties: HashMap::default(),
            len: 0,
        }
    }
}

impl<Rank: Copy + Ord, Key: Copy> TurnOrder<Rank, Key> {
    pub(super) fn insert(&mut self, turn: Option<Turn>, party: Party, rank: Rank, key: Key) {
        self.len += 1;
        let before = match self.parties.entry(party) {
            Entry::Vacant(vacant) => {
                vacant.insert(Members::one(rank, key));
                None
            }
            Entry::Occupied(mut members) => {
                let (first, _) = members.get().first;
                members.get_mut().insert(rank, key);
                Some(first)
            }
        };
        let Some(turn) = turn else {
            return;
        };
        if let Some(first) = before {
            if first < rank {
                return;
            }
            self.firsts.remove(&(turn, first));
        }
        self.firsts.insert((turn, rank), (party, key));
    }

    /// Returns true if it was there.
    pub(super) fn remove(&mut self, turn: Option<Turn>, party: Party, rank: Rank) -> bool {
        let Entry::Occupied(mut entry) = self.parties.entry(party) else {
            return false;
        };
        let members = entry.get_mut();
        if members.first.0 != rank {
            let was_there = members.others.remove(&rank).is_some();
            self.len -= usize::from(was_there);
            return was_there;
        }
        let next = members.others.pop_first();
        match next {
            Some(next) => members.first = next,
            None => {
                entry.remove();
            }
        }
        self.len -= 1;
        if let Some(turn) = turn {
            self.firsts.remove(&(turn, rank));
            let next = next.map(|(rank, key)| ((turn, rank), (party, key)));
            self.firsts.extend(next);
        }
        true
    }

    /// Changes the turn of a party.
    pub(super) fn change_turn(&mut self, party: Party, from: Option<Turn>, to: Option<Turn>) {
        let Some((first, key)) = self.first_of(party) else {
            return;
        };
        if let Some(turn) = from {
            self.firsts.remove(&(turn, first));
        }
        if let Some(turn) = to {
            self.firsts.insert((turn, first), (party, key));
        }
    }

    /// The first member of a party, whether it is in the order or not.
    pub(super) fn first_of(&self, party: Party) -> Option<(Rank, Key)> {
        self.parties.get(&party).map(|members| members.first)
    }

    /// The first of each party, in order.
    pub(super) fn firsts(&self) -> impl Iterator<Item = Key> {
        self.firsts.values().map(|&(_, key)| key)
    }

    /// All who are in the order: one party after the other.
    pub(super) fn in_order(&self) -> impl Iterator<Item = ((Turn, Rank), Key)> {
        let firsts = self.firsts.iter();
        firsts.flat_map(|(&(turn, _), (party, _))| {
            let members = self.parties.get(party).into_iter().flat_map(Members::all);
            members.map(move |(rank, key)| ((turn, rank), key))
        })
    }

    /// The number of all who wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All who wait, in no order.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        let members = self.parties.values().flat_map(Members::all);
        members.map(|(_, key)| key)
    }
}

impl<Rank: Copy + Ord, Key: Copy> Members<Rank, Key> {
    fn one(rank: Rank, key: Key) -> Self {
        Self {
            first: (rank, key),
            others: BTreeMap::new(),
        }
    }

    fn all(&self) -> impl Iterator<Item = (Rank, Key)> {
        let others = self.others.iter();
        iter::once(self.first).chain(others.map(|(&rank, &key)| (rank, key)))
    }

    fn insert(&mut self, rank: Rank, key: Key) {
        let mut later = (rank, key);
        if rank < self.first.0 {
            std::mem::swap(&mut self.first, &mut later);
        }
        self.others.insert(later.0, later.1);
    }
}
