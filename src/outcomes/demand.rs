//! The number of different clients of late.

use crate::wire::nat::NatClass;

/// The clients who asked or were answered in the last two minutes, by NAT class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    recent: [usize; NatClass::ALL.len()],
    unserved: [usize; NatClass::ALL.len()],
}

impl Demand {
    /// The number of different clients of this class.
    pub fn recent(&self, class: NatClass) -> usize {
        self.recent[class as usize]
    }

    /// Those of them whose last reply was no answer, whether or not they have asked again.
    pub fn unserved(&self, class: NatClass) -> usize {
        self.unserved[class as usize]
    }

    pub(super) fn add(&mut self, class: NatClass, is_unserved: bool) {
        self.recent[class as usize] += 1;
        self.unserved[class as usize] += usize::from(is_unserved);
    }

    pub(super) fn remove(&mut self, class: NatClass, is_unserved: bool) {
        self.recent[class as usize] -= 1;
        self.unserved[class as usize] -= usize::from(is_unserved);
    }
}
