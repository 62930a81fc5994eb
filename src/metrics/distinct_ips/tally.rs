//! The number of addresses with one label.

use serde::{Deserialize, Serialize};

use super::sketch::{Sketch, SketchHash};

/// Counts addresses one by one for as long as new ones can be told from old ones, then by
/// its sketch: the count so far plus the growth of the sketch's estimate since. Exact
/// counts therefore never become uncertain later.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    sketch: Sketch,
    count: u64,
    /// The sketch's estimate when exact counting ended; `None` while it continues.
    estimate_then: Option<u64>,
}

/// A tally in the saved state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedTally {
    count: u64,
    sketch: Sketch,
}

impl Tally {
    /// Adds an address that is new to this tally, as far as is known.
    pub(super) fn add(&mut self, hash: SketchHash) {
        self.sketch.insert_hash(hash);
        if self.estimate_then.is_none() {
            self.count += 1;
        }
    }

    pub(super) fn count(&self) -> u64 {
        match self.estimate_then {
            None => self.count,
            Some(then) => {
                let since = self.sketch.estimate().saturating_sub(then);
                self.count.saturating_add(since)
            }
        }
    }

    /// Ends exact counting, because addresses may now come that were counted before.
    pub(super) fn end_exact_count(&mut self) {
        self.estimate_then
            .get_or_insert_with(|| self.sketch.estimate());
    }

    pub(super) fn save(&self) -> SavedTally {
        SavedTally {
            count: self.count(),
            sketch: self.sketch.clone(),
        }
    }

    pub(super) fn heap_size(&self) -> usize {
        self.sketch.heap_size()
    }
}

impl SavedTally {
    /// Counts the addresses of both. The larger count stays exact; of the other one, the
    /// growth of the sketch's estimate is added.
    pub(super) fn merge(self, other: Self) -> Self {
        let (larger, smaller) = if self.count < other.count {
            (other, self)
        } else {
            (self, other)
        };
        let mut tally = Tally::from(larger);
        tally.sketch.merge(&smaller.sketch);
        tally.save()
    }
}

impl From<SavedTally> for Tally {
    fn from(SavedTally { count, sketch }: SavedTally) -> Self {
        Self {
            estimate_then: Some(sketch.estimate()),
            count,
            sketch,
        }
    }
}
