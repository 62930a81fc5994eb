//! The explanation of what rules would do for a client.

use std::collections::BTreeMap;

use crate::policy::{PolicyMarks, PollPreference, RuleSet, RuleSlot};
use crate::wire::nat::NatClass;

use super::Matcher;
use super::policy::pools_for;
use super::requests::{Band, PollKey};

/// A pool as a client would find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolView {
    /// The pool.
    pub pool: NatClass,
    /// The polls in it.
    pub parked: usize,
    /// The polls among them that no rule denies to the client.
    pub allowed: usize,
    /// The polls that meet the conditions of rules whose conditions the client meets.
    pub marked: BTreeMap<RuleSlot, usize>,
    /// The rules that count for nothing, because they favor too few of the polls that are
    /// looked at.
    pub softened: RuleSet,
    /// The rules among `marked` that have had their share of the pool's matches.
    pub spent: RuleSet,
    /// The polls that are looked at, in the order in which the client would get them: of
    /// each source the first, 64 at most.
    pub polls: Vec<PollView>,
}

/// A poll that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollView {
    /// The poll.
    pub key: PollKey,
    /// The band of its source.
    pub band: Band,
    /// Its standing by the rules.
    pub preference: PollPreference,
    /// The rules that made it so.
    pub by: RuleSet,
}

impl Matcher {
    /// The pools for a client of this class with these marks, in the order in which they are
    /// tried. Goes through all parked polls.
    pub fn explain(&self, class: NatClass, marks: PolicyMarks) -> Vec<PoolView> {
        let pools = pools_for(class).iter();
        pools.map(|&pool| self.view(pool, marks)).collect()
    }

    fn view(&self, pool: NatClass, marks: PolicyMarks) -> PoolView {
        let parked = self.sessions.parked().into_iter();
        let polls = parked.filter_map(|key| self.sessions.poll(key));
        let in_pool = polls.filter(|poll| NatClass::of(poll.nat) == pool);
        let (mut allowed, mut marked) = (0, BTreeMap::new());
        for poll in in_pool {
            allowed += usize::from(self.rules.may_meet(marks, poll.marks));
            for rule in self.rules.applying(marks, poll.marks).iter() {
                *marked.entry(rule).or_default() += 1;
            }
        }
        let candidates = self.pools.in_order(pool);
        let polls = candidates.filter_map(|poll| Some((poll, self.sessions.poll(poll.0)?.marks)));
        let ranked = self.rules.in_order(pool, marks, polls);
        let spent = self.rules.spent(pool);
        PoolView {
            pool,
            parked: self.pools.len_of(pool),
            allowed,
            softened: ranked.softened,
            spent: spent & marked.keys().copied().collect(),
            marked,
            polls: ranked
                .polls
                .into_iter()
                .map(|poll| PollView {
                    key: poll.key.0,
                    band: poll.key.1,
                    preference: poll.preference,
                    by: poll.by,
                })
                .collect(),
        }
    }
}
