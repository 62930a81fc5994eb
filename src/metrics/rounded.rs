//! Rounded counts, which hide single users.

use std::fmt;

/// A published count: rounded up to a multiple of 8, so that one event more or less
/// rarely shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rounded(u64);

impl Rounded {
    const STEP: u64 = 8;

    /// The published count.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for Rounded {
    fn from(count: u64) -> Self {
        let rounded = count.checked_next_multiple_of(Self::STEP);
        Self(rounded.unwrap_or(u64::MAX - (Self::STEP - 1)))
    }
}

impl fmt::Display for Rounded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_rounded_up_to_multiples_of_8() {
        let top = u64::MAX - 7;
        for (count, rounded) in [
            (0, 0),
            (1, 8),
            (7, 8),
            (8, 8),
            (9, 16),
            (top, top),
            (u64::MAX, top),
        ] {
            assert_eq!(Rounded::from(count).get(), rounded, "{count}");
        }
    }
}
