//! Rules of a policy: one that denies, one that prefers, one that puts last, and one that
//! prefers in half of the matches. A naive choice by them, for the reference.

use snowflake_broker::policy::{NetworkLists, Policy, PolicyMarks, RuleSet, RuleSlot};

pub(crate) const DENY: u8 = 1;
const PREFER: u8 = 2;
const LAST: u8 = 4;
const HALF: u8 = 8;
const SAME_PLACE: u8 = 16;

/// The rules in the order of the policy.
const RULES: [(u8, &str); 5] = [
    (DENY, "deny"),
    (PREFER, "prefer"),
    (LAST, "last"),
    (HALF, "half"),
    (SAME_PLACE, "same_country_and_network"),
];

const SHARE: f64 = 0.5;
const CREDIT_MAX: f64 = 16.0;

/// The rules that are met, as bits, and the place.
pub(crate) type Marks = (u8, Option<u8>);

/// The changeable part of a policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) reserve: usize,
    pub(crate) same_place_last: bool,
}

impl Terms {
    pub(crate) fn policy(self) -> Policy {
        let same_place = if self.same_place_last { "last" } else { "none" };
        let text = format!(
            "reserve = {}\nsame_country_and_network = '{same_place}'\n\
             [[rules]]\nname = 'deny'\naction = 'deny'\nproxy.types = ['a']\n\
             [[rules]]\nname = 'prefer'\naction = 'prefer'\nproxy.types = ['a']\n\
             [[rules]]\nname = 'last'\naction = 'last'\nproxy.types = ['a']\n\
             [[rules]]\nname = 'half'\naction = 'prefer'\nproxy.types = ['a']\nshare = {SHARE}\n",
            self.reserve
        );
        Policy::new(toml::from_str(&text).expect("rules"), &NetworkLists::new())
    }
}

/// The set with these bits; the slots are those of any policy with the same names.
pub(crate) fn set(policy: &Policy, bits: u8) -> RuleSet {
    let named = RULES.iter().filter(|(bit, _)| bits & bit > 0);
    let slots = named.map(|&(bit, name)| match bit {
        SAME_PLACE => RuleSlot::SAME_PLACE,
        _ => policy.slot_of(name).expect("a rule"),
    });
    slots.collect()
}

pub(crate) fn marks(policy: &Policy, (bits, place): Marks) -> PolicyMarks {
    PolicyMarks {
        rules: set(policy, bits),
        place: place.map(u64::from),
    }
}

/// The poll chosen, the rules that decided it, and those that were softened.
pub(crate) type Chosen = (usize, u8, u8);

/// The choice among polls in the pool's order. `matches` are the rules that decided each
/// match of the pool so far.
pub(crate) fn choose(
    terms: Terms,
    matches: &[u8],
    client: Marks,
    polls: &[(usize, Marks)],
) -> Option<Chosen> {
    let is_concerned = client.0 > 0 || (terms.same_place_last && client.1.is_some());
    if !is_concerned {
        return polls.first().map(|&(poll, _)| (poll, 0, 0));
    }
    let usable = if is_half_spent(matches) { !HALF } else { !0 };
    let applying = |poll: Marks| {
        let same = terms.same_place_last && client.1.is_some() && client.1 == poll.1;
        let same_place = if same { SAME_PLACE } else { 0 };
        (client.0 & poll.0 & usable) | same_place
    };
    let all: Vec<(usize, u8)> = polls
        .iter()
        .map(|&(poll, marks)| (poll, applying(marks)))
        .collect();
    let allowed: Vec<u8> = all
        .iter()
        .map(|&(_, rules)| rules)
        .filter(|rules| rules & DENY == 0)
        .collect();
    let softened: u8 = [PREFER, LAST, HALF, SAME_PLACE]
        .into_iter()
        .filter(|&rule| {
            let prefers = rule == PREFER || rule == HALF;
            let favored = allowed
                .iter()
                .filter(|&&rules| (rules & rule > 0) == prefers);
            allowed.iter().any(|rules| rules & rule > 0) && favored.count() < terms.reserve
        })
        .sum();
    // Of a poll: its level, and the rules that made it so.
    let level = |rules: u8| {
        let counting = rules & !softened;
        let first = RULES.iter().find(|(bit, _)| counting & bit > 0);
        match first.map(|(bit, _)| *bit) {
            Some(DENY) => (3, DENY),
            Some(rule @ (PREFER | HALF)) => (0, rule),
            Some(rule) => (2, rule),
            None => (1, 0),
        }
    };
    let levels: Vec<(u8, u8)> = all.iter().map(|&(_, rules)| level(rules)).collect();
    let best = levels.iter().map(|level| level.0).min()?;
    if best == 3 {
        return None;
    }
    let place = levels.iter().position(|level| level.0 == best)?;
    let mut decided = 0;
    for &(level, by) in levels[..place].iter().filter(|level| level.0 > best) {
        decided |= by;
        if best == 0 {
            decided |= levels[place].1;
        }
        assert!(level > best);
    }
    Some((all[place].0, decided, softened))
}

/// Returns true if the rule has had its half of the matches so far.
fn is_half_spent(matches: &[u8]) -> bool {
    let credit = matches.iter().fold(0.0_f64, |credit, decided| {
        let cost = if decided & HALF > 0 { 1.0 } else { 0.0 };
        (credit + SHARE - cost).clamp(0.0, CREDIT_MAX)
    });
    credit + SHARE < 1.0
}
