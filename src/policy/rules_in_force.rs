//! The rules as the matching engine applies them: to the marks of clients and polls, of
//! which it knows nothing else.

use std::ops::BitOr;

use crate::wire::nat::NatClass;

use super::rule_set::{RuleSet, RuleSlot};

/// Maximum number of polls that are looked at for a client in a pool.
pub const CANDIDATES_MAX: usize = 64;
/// The most polls of a pool that are looked at for these. Else whoever parks as many that are
/// denied would keep all others from the client.
const WALK_MAX: usize = 1_024;

/// The most matches that a rule with a share can have saved up.
const CREDIT_MAX: f64 = 16.0;

/// The marks of a client or a poll, by which rules apply to a pair of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyMarks {
    /// The rules whose conditions it meets.
    pub rules: RuleSet,
    /// Stands for its country and network; `None` if they are not known, or of no concern.
    pub place: Option<u64>,
}

/// The actions of the rules, without their conditions.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleActions {
    pub(super) deny: RuleSet,
    pub(super) prefer: RuleSet,
    pub(super) last: RuleSet,
    /// The rules that may decide only a share of a pool's matches.
    pub(super) limited: Vec<(RuleSlot, f64)>,
    /// The place of each rule in the list, by slot.
    pub(super) ranks: Box<[u8; RuleSlot::COUNT + 1]>,
    /// The number of favored polls below which a preference counts for nothing.
    pub(super) reserve: usize,
}

impl Default for RuleActions {
    fn default() -> Self {
        Self {
            deny: RuleSet::NONE,
            prefer: RuleSet::NONE,
            last: RuleSet::NONE,
            limited: Vec::new(),
            ranks: Box::new([0; RuleSlot::COUNT + 1]),
            reserve: 0,
        }
    }
}

/// The rules, and the matches that they have decided so far.
#[derive(Clone, Debug, Default)]
pub struct RulesInForce {
    actions: RuleActions,
    /// The matches of each pool that a limited rule may still decide.
    credits: [Vec<f64>; NatClass::ALL.len()],
    /// The limited rules that may decide none now.
    spent: [RuleSet; NatClass::ALL.len()],
}

/// The standing of a poll for a client, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PollPreference {
    /// A rule prefers the poll.
    Preferred,
    /// No rule has a say.
    Neutral,
    /// A rule puts the poll last.
    Last,
    /// A rule excludes the poll.
    Denied,
}

impl PollPreference {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preferred => "preferred",
            Self::Neutral => "neutral",
            Self::Last => "last",
            Self::Denied => "denied",
        }
    }
}

/// The poll for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice<Key> {
    /// The poll.
    pub key: Key,
    /// The rules without which an earlier poll would have been chosen.
    pub decided: RuleSet,
    /// The rules that counted for nothing, because too few polls were favored.
    pub softened: RuleSet,
}

impl<Key> Choice<Key> {
    /// The choice of a poll without any rule.
    pub fn without_rules(key: Key) -> Self {
        Self {
            key,
            decided: RuleSet::NONE,
            softened: RuleSet::NONE,
        }
    }
}

/// A poll that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankedPoll<Key> {
    /// The poll.
    pub key: Key,
    /// Its standing.
    pub preference: PollPreference,
    /// The rules that made it so.
    pub by: RuleSet,
}

/// The polls of a pool in the order in which a client would get them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankedPool<Key> {
    /// The polls that are looked at; those that the client never gets are at the end.
    pub polls: Vec<RankedPoll<Key>>,
    /// The rules that count for nothing, because too few of these polls are favored.
    pub softened: RuleSet,
}

impl RulesInForce {
    /// Replaces the rules. A rule that is in both keeps what it may still decide.
    pub fn set(&mut self, actions: RuleActions) {
        let before = std::mem::replace(&mut self.actions, actions);
        for pool in NatClass::ALL {
            let old = &self.credits[pool as usize];
            let credit_of = |slot| {
                let credits = before.limited.iter().zip(old);
                let mut credits = credits.filter(|((other, _), _)| *other == slot);
                credits.next().map_or(0.0, |(_, &credit)| credit)
            };
            let limited = self.actions.limited.iter();
            let credits: Vec<f64> = limited.map(|&(slot, _)| credit_of(slot)).collect();
            self.credits[pool as usize] = credits;
            self.find_spent(pool);
        }
    }

    /// Returns true if no rule excludes the pair.
    pub fn may_meet(&self, client: PolicyMarks, poll: PolicyMarks) -> bool {
        !(client.rules & poll.rules).meets(self.actions.deny)
    }

    /// The poll for a client: of the first [`CANDIDATES_MAX`] in a pool that no rule denies
    /// it, in the pool's order, the first of those with the best standing.
    pub fn choose<Key: Copy>(
        &self,
        pool: NatClass,
        client: PolicyMarks,
        mut candidates: impl Iterator<Item = (Key, PolicyMarks)>,
    ) -> Option<Choice<Key>> {
        if !self.can_concern(client) {
            let (key, _) = candidates.next()?;
            return Some(Choice::without_rules(key));
        }
        let RankedPool { polls, softened } = self.rank(pool, client, candidates);
        let allowed = polls.iter().enumerate();
        let allowed = allowed.filter(|(_, poll)| poll.preference != PollPreference::Denied);
        let (place, chosen) = allowed.min_by_key(|(_, poll)| poll.preference)?;
        let is_worse = |poll: &&RankedPoll<Key>| poll.preference > chosen.preference;
        let passed_over = polls[..place].iter().filter(is_worse);
        let preferring = match chosen.preference {
            PollPreference::Preferred => chosen.by,
            _ => RuleSet::NONE,
        };
        let decided = passed_over.fold(RuleSet::NONE, |rules, poll| rules | poll.by | preferring);
        Some(Choice {
            key: chosen.key,
            decided,
            softened,
        })
    }

    /// The first [`CANDIDATES_MAX`] polls, and those before them that a rule denies, in the
    /// order in which the client would get them.
    pub fn in_order<Key: Copy>(
        &self,
        pool: NatClass,
        client: PolicyMarks,
        candidates: impl Iterator<Item = (Key, PolicyMarks)>,
    ) -> RankedPool<Key> {
        let mut ranked = self.rank(pool, client, candidates);
        ranked.polls.sort_by_key(|poll| poll.preference);
        ranked
    }

    /// The rules that have had their share of a pool's matches, and decide none for now.
    pub fn spent(&self, pool: NatClass) -> RuleSet {
        self.spent[pool as usize]
    }

    /// Notes a match in a pool, which these rules have decided.
    pub fn matched(&mut self, pool: NatClass, decided: RuleSet) {
        if self.actions.limited.is_empty() {
            return;
        }
        let credits = &mut self.credits[pool as usize];
        for (credit, &(slot, share)) in credits.iter_mut().zip(&self.actions.limited) {
            let cost = if decided.contains(slot) { 1.0 } else { 0.0 };
            *credit = (*credit + share - cost).clamp(0.0, CREDIT_MAX);
        }
        self.find_spent(pool);
    }

    /// Notes which limited rules may decide none of a pool's matches now: with the next
    /// match a rule has a whole one, or not.
    fn find_spent(&mut self, pool: NatClass) {
        let limited = self
            .actions
            .limited
            .iter()
            .zip(&self.credits[pool as usize]);
        let spent = limited.filter(|((_, share), credit)| **credit + share < 1.0);
        self.spent[pool as usize] = spent.map(|((slot, _), _)| *slot).collect();
    }

    /// Returns true if a rule could apply to the client and some poll.
    fn can_concern(&self, client: PolicyMarks) -> bool {
        !client.rules.is_empty() || (client.place.is_some() && self.puts_same_place_last())
    }

    fn puts_same_place_last(&self) -> bool {
        self.actions.last.contains(RuleSlot::SAME_PLACE)
    }

    /// The standing of each poll in the pool's order, and the rules that are softened.
    fn rank<Key: Copy>(
        &self,
        pool: NatClass,
        client: PolicyMarks,
        candidates: impl Iterator<Item = (Key, PolicyMarks)>,
    ) -> RankedPool<Key> {
        let spent = self.spent(pool);
        let mut allowed = 0;
        let applying = candidates
            .take(WALK_MAX)
            .map(|(key, poll)| (key, self.applying(client, poll) & !spent))
            .take_while(|(_, rules)| {
                let is_enough = allowed == CANDIDATES_MAX;
                allowed += usize::from(!rules.meets(self.actions.deny));
                !is_enough
            })
            .collect::<Vec<_>>();
        let softened = self.softened(applying.iter().map(|(_, rules)| *rules));
        let ranked = applying.into_iter().map(|(key, rules)| {
            let (preference, by) = self.preference(rules & !softened);
            RankedPoll {
                key,
                preference,
                by,
            }
        });
        RankedPool {
            polls: ranked.collect(),
            softened,
        }
    }

    /// The rules whose conditions a pair meets.
    pub fn applying(&self, client: PolicyMarks, poll: PolicyMarks) -> RuleSet {
        let both = client.rules & poll.rules;
        if client.place.is_some() && client.place == poll.place && self.puts_same_place_last() {
            both | RuleSet::of(RuleSlot::SAME_PLACE)
        } else {
            both
        }
    }

    /// The preferences that favor fewer of these polls than the reserve.
    fn softened(&self, polls: impl Iterator<Item = RuleSet> + Clone) -> RuleSet {
        let RuleActions {
            deny,
            prefer,
            last,
            reserve,
            ..
        } = self.actions;
        let allowed = polls.filter(|rules| !rules.meets(deny));
        let applying = allowed.clone().fold(RuleSet::NONE, BitOr::bitor);
        let preferences = applying & (prefer | last);
        let favors_too_few = |&slot: &RuleSlot| {
            let is_favored = |rules: &RuleSet| rules.contains(slot) == prefer.contains(slot);
            allowed.clone().filter(is_favored).count() < reserve
        };
        preferences.iter().filter(favors_too_few).collect()
    }

    /// The standing by the rules that apply, and those that decide it.
    fn preference(&self, rules: RuleSet) -> (PollPreference, RuleSet) {
        let denying = rules & self.actions.deny;
        if !denying.is_empty() {
            return (PollPreference::Denied, denying);
        }
        let preferences = (rules & (self.actions.prefer | self.actions.last)).iter();
        let first = preferences.min_by_key(|slot| self.actions.ranks[slot.index()]);
        match first {
            Some(slot) if self.actions.prefer.contains(slot) => {
                (PollPreference::Preferred, RuleSet::of(slot))
            }
            Some(slot) => (PollPreference::Last, RuleSet::of(slot)),
            None => (PollPreference::Neutral, RuleSet::NONE),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POOL: NatClass = NatClass::Open;

    fn slot(index: usize) -> RuleSlot {
        RuleSlot::all().nth(index).unwrap()
    }

    fn set(slots: &[usize]) -> RuleSet {
        slots.iter().map(|&index| slot(index)).collect()
    }

    fn marks(slots: &[usize]) -> PolicyMarks {
        PolicyMarks {
            rules: set(slots),
            place: None,
        }
    }

    /// Rule 0 denies, 1 prefers and 2 puts last.
    fn rules(reserve: usize) -> RulesInForce {
        let mut ranks = Box::new([0; RuleSlot::COUNT + 1]);
        (ranks[1], ranks[2]) = (1, 2);
        let mut rules = RulesInForce::default();
        rules.set(RuleActions {
            deny: set(&[0]),
            prefer: set(&[1]),
            last: set(&[2]) | RuleSet::of(RuleSlot::SAME_PLACE),
            limited: Vec::new(),
            ranks,
            reserve,
        });
        rules
    }

    fn choose(rules: &RulesInForce, client: &[usize], polls: &[&[usize]]) -> Option<Choice<usize>> {
        let polls = polls.iter().map(|slots| marks(slots)).enumerate();
        rules.choose(POOL, marks(client), polls)
    }

    #[test]
    fn preferred_before_neutral_before_last_and_denied_never() {
        let rules = rules(0);
        let all: [&[usize]; 4] = [&[0, 1], &[2], &[], &[1]];
        let chosen = choose(&rules, &[0, 1, 2], &all).unwrap();
        assert_eq!((chosen.key, chosen.decided), (3, set(&[0, 1, 2])));
        let chosen = choose(&rules, &[0, 1, 2], &all[..3]).unwrap();
        assert_eq!((chosen.key, chosen.decided), (2, set(&[0, 2])));
        let chosen = choose(&rules, &[0, 1, 2], &all[..2]).unwrap();
        assert_eq!((chosen.key, chosen.decided), (1, set(&[0])));
        assert_eq!(choose(&rules, &[0, 1, 2], &all[..1]), None);
        // To others it means nothing.
        let chosen = choose(&rules, &[], &all).unwrap();
        assert_eq!((chosen.key, chosen.decided), (0, RuleSet::NONE));
    }

    #[test]
    fn a_rule_that_changes_nothing_has_decided_nothing() {
        let rules = rules(0);
        let chosen = choose(&rules, &[1, 2], &[&[1], &[2]]).unwrap();
        assert_eq!((chosen.key, chosen.decided), (0, RuleSet::NONE));
    }

    #[test]
    fn of_two_rules_the_first_in_the_list_counts() {
        let mut rules = rules(0);
        let polls: [&[usize]; 2] = [&[], &[1, 2]];
        assert_eq!(choose(&rules, &[1, 2], &polls).unwrap().key, 1);
        rules.actions.ranks[1] = 3;
        assert_eq!(choose(&rules, &[1, 2], &polls).unwrap().key, 0);
    }

    #[test]
    fn below_the_reserve_a_preference_softens() {
        let rules = rules(2);
        let one: [&[usize]; 3] = [&[], &[1], &[]];
        let chosen = choose(&rules, &[1], &one).unwrap();
        assert_eq!((chosen.key, chosen.softened), (0, set(&[1])));
        let two: [&[usize]; 3] = [&[], &[1], &[1]];
        let chosen = choose(&rules, &[1], &two).unwrap();
        assert_eq!((chosen.key, chosen.softened), (1, RuleSet::NONE));
        let one_other: [&[usize]; 3] = [&[2], &[], &[2]];
        let chosen = choose(&rules, &[2], &one_other).unwrap();
        assert_eq!((chosen.key, chosen.softened), (0, set(&[2])));
        let two_others: [&[usize]; 3] = [&[2], &[], &[]];
        assert_eq!(choose(&rules, &[2], &two_others).unwrap().key, 1);
        // Polls that the client may not have do not count as favored.
        let denied: [&[usize]; 3] = [&[], &[1], &[0, 1]];
        assert_eq!(choose(&rules, &[0, 1], &denied).unwrap().key, 0);
    }

    #[test]
    fn its_own_place_comes_last() {
        let rules = rules(0);
        let at = |place| PolicyMarks {
            rules: RuleSet::NONE,
            place,
        };
        let polls = [at(Some(7)), at(None), at(Some(8))];
        let chosen = rules.choose(POOL, at(Some(7)), polls.into_iter().enumerate());
        let chosen = chosen.unwrap();
        assert_eq!(chosen.key, 1);
        assert_eq!(chosen.decided, RuleSet::of(RuleSlot::SAME_PLACE));
        // Places that are not known are not the same.
        let chosen = rules.choose(POOL, at(None), polls.into_iter().skip(1).enumerate());
        assert_eq!(chosen.unwrap().key, 0);
    }

    fn limited(share: f64) -> RulesInForce {
        let mut rules = rules(0);
        let actions = RuleActions {
            limited: vec![(slot(1), share)],
            ..rules.actions.clone()
        };
        rules.set(actions);
        rules
    }

    #[test]
    fn what_a_rule_may_still_decide_outlasts_a_change_of_others() {
        let mut rules = limited(0.25);
        for _ in 0..8 {
            rules.matched(POOL, RuleSet::NONE);
        }
        rules.set(rules.actions.clone());
        assert!(rules.spent[POOL as usize].is_empty());
        assert!((rules.credits[POOL as usize][0] - 2.0).abs() < 1e-9);
        assert_eq!(rules.credits[NatClass::Strict as usize], [0.0]);
    }

    proptest! {
        #[test]
        fn a_rule_decides_at_most_its_share(
            share in 0.0..=1.0_f64,
            wanted in proptest::collection::vec(any::<bool>(), 1..400),
        ) {
            let mut rules = limited(share);
            let mut hits = 0.0;
            for (matches, wants) in (1_u32..).zip(wanted) {
                let client: &[usize] = if wants { &[1] } else { &[] };
                let chosen = choose(&rules, client, &[&[], &[1]]).unwrap();
                rules.matched(POOL, chosen.decided);
                hits += f64::from(u8::from(chosen.decided.contains(slot(1))));
                prop_assert!(hits <= share * f64::from(matches) + 1e-6);
            }
        }

        /// The choice by its definition, of polls with any marks.
        #[test]
        fn the_first_of_the_best_is_chosen(
            reserve in 0..4_usize,
            client in 0..8_usize,
            polls in proptest::collection::vec(0..8_usize, 0..200),
        ) {
            let slots = |bits: usize| {
                (0..3).filter(|bit| bits >> bit & 1 == 1).collect::<Vec<usize>>()
            };
            let rules = rules(reserve);
            let mut found = 0;
            let is_looked_at = |poll: &usize| {
                let has_enough = found == CANDIDATES_MAX;
                found += usize::from(poll & 1 == 0);
                !has_enough
            };
            let both = polls.iter().map(|poll| poll & client);
            let looked: Vec<usize> = both.take_while(is_looked_at).collect();
            let allowed = looked.iter().filter(|poll| **poll & 1 == 0);
            let preferred = allowed.clone().filter(|poll| **poll & 2 > 0).count();
            let others = allowed.clone().filter(|poll| **poll & 4 == 0).count();
            let rank = |poll: usize| match poll {
                _ if poll & 2 > 0 && preferred >= reserve => 0,
                _ if poll & 4 > 0 && others >= reserve => 2,
                _ => 1,
            };
            let numbered = looked.iter().enumerate().filter(|(_, poll)| **poll & 1 == 0);
            let expected = numbered.min_by_key(|(_, poll)| rank(**poll)).map(|(place, _)| place);
            let slots_of: Vec<Vec<usize>> = polls.iter().map(|&poll| slots(poll)).collect();
            let polls: Vec<&[usize]> = slots_of.iter().map(|slots| &**slots).collect();
            // A client that no rule concerns gets the first.
            let expected = if client == 0 { (!polls.is_empty()).then_some(0) } else { expected };
            let chosen = choose(&rules, &slots(client), &polls);
            prop_assert_eq!(chosen.map(|chosen| chosen.key), expected);
        }
    }
}
