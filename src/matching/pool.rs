//! The parked polls, by pool, in the order in which they are served.

use std::collections::BTreeMap;

use crate::policy::{Choice, PolicyMarks, RulesInForce};
use crate::wire::nat::{NatClass, NatType};
use crate::wire::proxy::ProxyType;

use super::policy::pools_for;
use super::requests::{Band, PollKey};
use super::sessions::Poll;
use super::sources::{SourceTable, TurnChange};
use super::standing::{PoolRank, SourceKey};
use super::turn_order::{Turn, TurnOrder};

/// The place of polls whose source is not known.
fn unknown_source() -> Turn {
    Turn::FIRST_COME.of(Band::Unknown)
}

/// The conditions of a client's poll.
#[derive(Clone, Copy, Debug)]
pub(super) struct PollWanted {
    /// A pool in which no more sources than this can serve is left out.
    pub(super) spare: usize,
    /// A pool with no more polls than this is left out.
    pub(super) reserve: usize,
    /// A pool in which no more sources than this can serve is scarce.
    pub(super) scarce: usize,
    /// The band from which on a source is taken to see whether it works now.
    pub(super) tried: Option<Band>,
    /// The client's marks.
    pub(super) marks: PolicyMarks,
}

/// A poll with its place in a pool's order.
type PlacedPoll = ((Turn, PoolRank), PollKey);

/// The three pools.
#[derive(Debug, Default)]
pub(super) struct Pools {
    orders: [TurnOrder<PoolRank, PollKey>; NatClass::ALL.len()],
    counts: BTreeMap<ProxyType, [usize; NatType::ALL.len()]>,
}

impl Pools {
    /// Adds a poll, to those of its source, too.
    pub(super) fn insert(&mut self, sources: &mut SourceTable, key: PollKey, poll: &Poll) {
        let class = NatClass::of(poll.nat);
        let order = &mut self.orders[class as usize];
        if let Some(source) = poll.source {
            let turn = sources.turn_in(source.key, class);
            if let Some(polls) = sources.polls_mut(source.key, class) {
                order.insert(turn, polls, rank(poll), key);
            }
        } else {
            order.insert_alone(unknown_source(), rank(poll), key);
        }
        *self.count_of(poll) += 1;
    }

    pub(super) fn remove(&mut self, sources: &mut SourceTable, poll: &Poll) {
        let class = NatClass::of(poll.nat);
        let order = &mut self.orders[class as usize];
        let was_there = if let Some(source) = poll.source {
            let turn = sources.turn_in(source.key, class);
            let polls = sources.polls_mut(source.key, class);
            polls.is_some_and(|polls| order.remove(turn, polls, rank(poll)))
        } else {
            order.remove_alone(unknown_source(), rank(poll))
        };
        if was_there {
            *self.count_of(poll) -= 1;
        }
    }

    pub(super) fn change_turn(
        &mut self,
        sources: &SourceTable,
        source: SourceKey,
        change: TurnChange,
    ) {
        for pool in NatClass::ALL {
            let [from, to] =
                [change.from, change.to].map(|turns| turns.map(|turns| turns[pool as usize]));
            if from != to
                && let Some(polls) = sources.polls(source, pool)
            {
                self.orders[pool as usize].change_turn(polls, from, to);
            }
        }
    }

    /// The best poll for a client of this class that it may have, or one of a source to be
    /// tried. Bad sources of one pool come after others of the next, unless these are scarce.
    /// `marks_of` returns the marks of a poll that the client may have but for the rules.
    pub(super) fn best_for(
        &self,
        client: NatClass,
        wanted: PollWanted,
        rules: &RulesInForce,
        marks_of: impl Fn(PollKey) -> Option<PolicyMarks>,
    ) -> Option<Choice<PollKey>> {
        let has_enough =
            |pool| self.able_in(pool) > wanted.spare && self.len_of(pool) > wanted.reserve;
        let pools = || {
            pools_for(client)
                .iter()
                .copied()
                .filter(|&pool| has_enough(pool))
        };
        let from = |pool, band| {
            let firsts = self.orders[pool as usize].firsts_from(band);
            let marked = firsts.filter_map(|poll| Some((poll, marks_of(poll.1)?)));
            rules.choose(pool, wanted.marks, marked)
        };
        let tried = wanted
            .tried
            .and_then(|band| pools().find_map(|pool| from(pool, band)));
        if let Some(tried) = tried {
            return Some(without_place(tried));
        }
        let mut first = None;
        for pool in pools() {
            if first.is_some() && self.able_in(pool) <= wanted.scarce {
                continue;
            }
            let best = from(pool, Band::Good);
            if let Some(best) = best
                && band_of(best.key) != Band::Bad
            {
                return Some(without_place(best));
            }
            first = first.or(best);
        }
        first.map(without_place)
    }

    /// The first poll of each source in a pool, in order, and its band.
    pub(super) fn in_order(&self, pool: NatClass) -> impl Iterator<Item = (PollKey, Band)> {
        let firsts = self.orders[pool as usize].firsts_from(Band::Good);
        firsts.map(|poll| (poll.1, band_of(poll)))
    }

    /// The number of polls in a pool.
    pub(super) fn len_of(&self, pool: NatClass) -> usize {
        self.orders[pool as usize].len()
    }

    /// The number of sources with polls in a pool that may have clients now, and of polls
    /// without a source. Many polls of one source are worth no more than one.
    pub(super) fn able_in(&self, pool: NatClass) -> usize {
        self.orders[pool as usize].parties()
    }

    pub(super) fn len(&self) -> usize {
        self.orders.iter().map(TurnOrder::len).sum()
    }

    /// Numbers of polls by type and NAT, without zeros.
    pub(super) fn counts(&self) -> Vec<(ProxyType, NatType, usize)> {
        let mut counts = Vec::new();
        for (&proxy_type, by_nat) in &self.counts {
            for (&count, nat) in by_nat.iter().zip(NatType::ALL) {
                if count > 0 {
                    counts.push((proxy_type, nat, count));
                }
            }
        }
        counts
    }

    fn count_of(&mut self, poll: &Poll) -> &mut usize {
        let by_nat = self.counts.entry(poll.proxy_type).or_default();
        &mut by_nat[poll.nat as usize]
    }
}

fn without_place(chosen: Choice<PlacedPoll>) -> Choice<PollKey> {
    Choice {
        key: chosen.key.1,
        decided: chosen.decided,
        softened: chosen.softened,
    }
}

fn band_of(((turn, _), _): PlacedPoll) -> Band {
    let bands = Band::ALL.into_iter().rev();
    let mut around = bands.filter(|&band| turn.is_from(band));
    around.next().unwrap_or(Band::Good)
}

fn rank(poll: &Poll) -> PoolRank {
    (poll.clients, poll.arrival)
}
