//! Sets of rules, each of which has a slot.

use std::ops::{BitAnd, BitOr, Not};

/// The place of a rule in a [`RuleSet`]. A rule keeps it as long as its name is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleSlot(u8);

impl RuleSlot {
    /// The slot of `same_country_and_network`, which is not a rule of the list.
    pub const SAME_PLACE: Self = Self(127);
    /// The number of slots for rules of the list: about twice their number, so that those
    /// of rules that are gone are not soon given to others.
    pub const COUNT: usize = 127;

    /// The slots for rules of the list.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..Self::SAME_PLACE.0).map(Self)
    }

    /// The number of the slot, up to [`Self::COUNT`].
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A set of rules, as a bit mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RuleSet(u128);

impl RuleSet {
    /// No rule.
    pub const NONE: Self = Self(0);

    /// The rule in this slot alone.
    pub fn of(slot: RuleSlot) -> Self {
        Self(1 << slot.0)
    }

    /// Returns true if there is no rule in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns true if the rule is in the set.
    pub fn contains(self, slot: RuleSlot) -> bool {
        self.meets(Self::of(slot))
    }

    /// Returns true if a rule is in both sets.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The number of rules.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The slots of the rules, in ascending order.
    pub fn iter(self) -> impl Iterator<Item = RuleSlot> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            // The position of a bit of 128 is less than 128.
            let slot = u8::try_from(left.trailing_zeros()).ok()?;
            left &= left.checked_sub(1)?;
            Some(RuleSlot(slot))
        })
    }
}

impl FromIterator<RuleSlot> for RuleSet {
    fn from_iter<I: IntoIterator<Item = RuleSlot>>(slots: I) -> Self {
        let slots = slots.into_iter();
        slots.fold(Self::NONE, |set, slot| set | Self::of(slot))
    }
}

impl BitAnd for RuleSet {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for RuleSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Not for RuleSet {
    type Output = Self;

    fn not(self) -> Self {
        Self(!self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_slots_that_it_was_made_of() {
        let slots: Vec<RuleSlot> = RuleSlot::all().chain([RuleSlot::SAME_PLACE]).collect();
        assert_eq!(slots.len(), RuleSlot::COUNT + 1);
        for step in [1, 2, 7, 126, 200] {
            let some: Vec<RuleSlot> = slots.iter().copied().step_by(step).collect();
            let set: RuleSet = some.iter().copied().collect();
            assert_eq!(set.iter().collect::<Vec<_>>(), some);
            assert_eq!(set.len(), some.len());
            assert!((set & !set).is_empty() && set.contains(some[0]));
        }
        assert_eq!(RuleSet::NONE.iter().next(), None);
    }
}
