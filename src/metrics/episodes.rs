//! Episodes of clients: the requests of one client until it is served or gives up, counted.

use std::time::Duration;

use super::distribution::{Distribution, as_f64};
use super::labels::EpisodeResult;

/// Upper bounds of the number of tries; one more bucket holds larger numbers.
pub(super) const TRIES: [u16; 6] = [1, 2, 3, 5, 8, 13];
/// Upper bounds of the time until a client was served, in seconds; one more bucket holds
/// longer times.
pub(super) const SECONDS: [u16; 11] = [1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600];

/// Numbers of episodes. Each that has begun has one result, or none yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpisodeCounts {
    begun: u64,
    results: [u64; EpisodeResult::ALL.len()],
    tries: Distribution<{ TRIES.len() }>,
    seconds: Distribution<{ SECONDS.len() }>,
}

impl EpisodeCounts {
    /// Counts an episode that begins.
    pub fn begin(&mut self) {
        self.begun += 1;
    }

    /// Counts the result of an episode.
    pub fn decide(&mut self, result: EpisodeResult) {
        self.results[result as usize] += 1;
    }

    /// Counts a match that worked: the number of the client's tries until then, and the
    /// time from the first one until the answer.
    pub fn serve(&mut self, tries: u32, after: Duration) {
        self.tries.record(u64::from(tries) * 1_000);
        let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.seconds.record(millis);
    }

    /// The number of episodes that began.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// The number of episodes with this result.
    pub fn with_result(&self, result: EpisodeResult) -> u64 {
        self.results[result as usize]
    }

    /// The share (0 to 1) of clients who were not served in time, of those of whom that is
    /// known; `None` if it is known of nobody.
    pub fn share_unserved(&self) -> Option<f64> {
        let [served, unserved] =
            [EpisodeResult::Served, EpisodeResult::Unserved].map(|result| self.with_result(result));
        share(unserved, served + unserved)
    }

    /// The tries of clients who were served, in time or later.
    pub fn tries(&self) -> &Distribution<{ TRIES.len() }> {
        &self.tries
    }

    /// The seconds until they were served.
    pub fn seconds(&self) -> &Distribution<{ SECONDS.len() }> {
        &self.seconds
    }

    /// All counts, to be saved.
    pub(super) fn numbers(&self) -> [Vec<u64>; 3] {
        let results = [self.begun].into_iter().chain(self.results);
        let [tries, seconds] = [self.tries.numbers(), self.seconds.numbers()];
        [results.collect(), tries, seconds]
    }

    /// The counts that are saved as these; `None` if they have another form now.
    pub(super) fn from_numbers([results, tries, seconds]: &[Vec<u64>; 3]) -> Option<Self> {
        let (&begun, results) = results.split_first()?;
        Some(Self {
            begun,
            results: results.try_into().ok()?,
            tries: Distribution::from_numbers(&TRIES, tries)?,
            seconds: Distribution::from_numbers(&SECONDS, seconds)?,
        })
    }

    /// Both together.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            begun: self.begun + other.begun,
            results: std::array::from_fn(|place| self.results[place] + other.results[place]),
            tries: self.tries.plus(&other.tries),
            seconds: self.seconds.plus(&other.seconds),
        }
    }

    /// The counts made after `then`.
    pub(super) fn since(&self, then: &Self) -> Self {
        Self {
            begun: self.begun.saturating_sub(then.begun),
            results: std::array::from_fn(|place| {
                self.results[place].saturating_sub(then.results[place])
            }),
            tries: self.tries.since(&then.tries),
            seconds: self.seconds.since(&then.seconds),
        }
    }
}

impl Default for EpisodeCounts {
    fn default() -> Self {
        Self {
            begun: 0,
            results: [0; EpisodeResult::ALL.len()],
            tries: Distribution::new(&TRIES),
            seconds: Distribution::new(&SECONDS),
        }
    }
}

/// A part as a share of all; `None` of nothing.
pub(super) fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| as_f64(part) / as_f64(all))
}
