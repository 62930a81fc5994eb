//! The history of the broker for plots: a sample for each five minutes, 30 days of them.
//!
//! Samples have their places by the wall clock. If the clock is set, the samples taken
//! under the wrong time stay where they are: two of one place become one, those of a time
//! to come are not shown until then, and no sample makes another one go before the history
//! is full. Counts only, so that nothing here is about a single client or proxy.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// The time for which a sample stands.
pub const SLOT: Duration = Duration::from_mins(5);
/// The samples of 30 days.
pub const SLOTS_MAX: usize = 30 * 24 * 12;
/// The format of the saved history.
const VERSION: u64 = 2;

/// The activity of some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HistorySample {
    /// The largest number of parked polls.
    pub parked: u64,
    /// The largest number of clients waiting for a proxy or for an answer.
    pub waiting: u64,
    /// Clients that got an answer.
    pub answered: u64,
    /// Clients that found no proxy.
    pub denied: u64,
    /// Clients whose proxy did not answer in time.
    pub timed_out: u64,
}

/// The samples of the last 30 days, as far as there are any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleHistory {
    /// By the number of slots since the epoch.
    slots: BTreeMap<u64, HistorySample>,
}

/// The error for a saved history that cannot be continued.
#[derive(Debug, thiserror::Error)]
pub enum InvalidHistory {
    /// The saved history is damaged.
    #[error("the saved history is damaged")]
    Damaged(#[from] serde_json::Error),
    /// The saved history has the format of another release.
    #[error("the saved history has version {0}, and this release reads version {VERSION}")]
    Version(u64),
}

#[derive(Deserialize)]
struct HistoryVersion {
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedHistory {
    version: u64,
    /// Each slot's number and its figures, in the order of the fields.
    slots: Vec<[u64; 6]>,
}

impl HistorySample {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            parked: self.parked.max(other.parked),
            waiting: self.waiting.max(other.waiting),
            answered: self.answered.saturating_add(other.answered),
            denied: self.denied.saturating_add(other.denied),
            timed_out: self.timed_out.saturating_add(other.timed_out),
        }
    }
}

impl SampleHistory {
    /// Adds a sample that ends at this time. To be called every [`SLOT`].
    pub fn record(&mut self, at: SystemTime, sample: HistorySample) {
        self.add(slot(at), sample);
    }

    /// The last `count` spans of time, the oldest first, each as long as `slots` samples.
    /// The last one contains `now`. `None` for spans without any sample.
    pub fn spans(&self, now: SystemTime, slots: u64, count: u64) -> Vec<Option<HistorySample>> {
        let end = slot(now).saturating_add(1);
        let start = |spans: u64| end.checked_sub(spans.saturating_mul(slots));
        let span = |spans: u64| {
            // Before the epoch, there was nothing.
            let from = start(spans).unwrap_or(0);
            let until = start(spans - 1)?;
            let samples = self.slots.range(from..until).map(|(_, sample)| *sample);
            samples.reduce(HistorySample::plus)
        };
        (1..=count).rev().map(span).collect()
    }

    /// The content of a file that [`Self::decode`] reads.
    pub fn encode(&self) -> String {
        let slots = self.slots.iter().map(|(&slot, sample)| {
            let HistorySample {
                parked,
                waiting,
                answered,
                denied,
                timed_out,
            } = *sample;
            [slot, parked, waiting, answered, denied, timed_out]
        });
        let saved = SavedHistory {
            version: VERSION,
            slots: slots.collect(),
        };
        // Lists of numbers can always be written as JSON.
        serde_json::to_string(&saved).unwrap_or_default()
    }

    /// Reads the content of a file. A truncated file is an error, never half a history.
    ///
    /// # Errors
    /// Fails if the content is damaged or of another release.
    pub fn decode(content: &[u8]) -> Result<Self, InvalidHistory> {
        let HistoryVersion { version } = serde_json::from_slice(content)?;
        if version != VERSION {
            return Err(InvalidHistory::Version(version));
        }
        let saved: SavedHistory = serde_json::from_slice(content)?;
        let mut history = Self::default();
        for [slot, parked, waiting, answered, denied, timed_out] in saved.slots {
            let sample = HistorySample {
                parked,
                waiting,
                answered,
                denied,
                timed_out,
            };
            history.add(slot, sample);
        }
        Ok(history)
    }

    fn add(&mut self, slot: u64, sample: HistorySample) {
        let place = self.slots.entry(slot).or_default();
        *place = place.plus(sample);
        if self.slots.len() > SLOTS_MAX {
            self.slots.pop_first();
        }
    }
}

/// The number of the slot in which this time is.
fn slot(at: SystemTime) -> u64 {
    let since_epoch = at.duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.map_or(0, |since_epoch| since_epoch.as_secs() / SLOT.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    fn at(minutes: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_mins(minutes)
    }

    fn sample(parked: u64, answered: u64) -> HistorySample {
        HistorySample {
            parked,
            answered,
            ..HistorySample::default()
        }
    }

    /// A history with a sample of one answered client for each of these minutes.
    fn history(minutes: impl IntoIterator<Item = u64>) -> SampleHistory {
        let mut history = SampleHistory::default();
        for minute in minutes {
            history.record(at(minute), sample(minute, 1));
        }
        history
    }

    fn answered(history: &SampleHistory, minute: u64, slots: u64, count: u64) -> Vec<Option<u64>> {
        let spans = history.spans(at(minute), slots, count);
        let spans = spans.into_iter();
        spans.map(|span| span.map(|it| it.answered)).collect()
    }

    #[test]
    fn gaps_are_told_from_times_without_clients() {
        let mut history = history([1000, 1005, 1020]);
        history.record(at(1025), sample(3, 0));
        assert_eq!(
            answered(&history, 1025, 1, 6),
            [Some(1), Some(1), None, None, Some(1), Some(0)]
        );
        assert_eq!(answered(&history, 1025, 2, 3), [Some(2), None, Some(1)]);
        let all = history.spans(at(1025), 6, 1);
        assert_eq!(all, [Some(sample(1020, 3))]);
    }

    #[test]
    fn a_clock_set_back_adds_to_the_samples_of_that_time() {
        let mut history = history([60, 65, 70]);
        history.record(at(65), sample(9, 5));
        assert_eq!(answered(&history, 65, 1, 2), [Some(1), Some(6)]);
        assert_eq!(answered(&history, 70, 1, 1), [Some(1)]);
    }

    #[test]
    fn a_clock_that_was_ahead_for_a_while_takes_nothing_away() {
        let month = 30 * 24 * 60;
        let mut history = history((0..1000).map(|slot| slot * 5));
        history.record(at(100 * month), sample(1, 1));
        history.record(at(5000), sample(1, 1));
        assert_eq!(answered(&history, 5000, 1001, 1), [Some(1001)]);
    }

    #[test]
    fn no_time_is_too_early_or_too_late() {
        let mut history = history([0]);
        history.record(UNIX_EPOCH - Duration::from_secs(1), sample(0, 1));
        assert_eq!(answered(&history, 0, 1, 2), [None, Some(2)]);
        assert_eq!(answered(&history, 0, u64::MAX, 2).len(), 2);
    }

    #[test]
    fn a_full_history_loses_its_oldest_samples() {
        let max = SLOTS_MAX as u64;
        let history = history((0..max + 2).map(|slot| slot * 5));
        assert_eq!(history.slots.len(), SLOTS_MAX);
        let last = 5 * (max + 1);
        assert_eq!(answered(&history, last, max, 1), [Some(max)]);
        assert_eq!(answered(&history, last, max + 2, 1), [Some(max)]);
        let size = history.encode().len();
        assert!(size < SLOTS_MAX * 40, "{size}");
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let other = history([1])
            .encode()
            .replace("\"version\":2", "\"version\":1");
        let error = SampleHistory::decode(other.as_bytes()).unwrap_err();
        assert!(matches!(error, InvalidHistory::Version(1)), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn nothing_is_lost_or_counted_twice(
            minutes in prop::collection::vec(0..100_000_u64, 0..300),
            restarts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let restarts: Vec<_> = restarts.iter().map(|it| it.index(300)).collect();
            let mut history = SampleHistory::default();
            for (place, minute) in minutes.iter().enumerate() {
                if restarts.contains(&place) {
                    let read = SampleHistory::decode(history.encode().as_bytes()).unwrap();
                    prop_assert_eq!(&read, &history);
                    history = read;
                }
                history.record(at(*minute), sample(*minute, 1));
            }
            let spans = history.spans(at(100_000), 100, 201);
            let sum: u64 = spans.iter().flatten().map(|span| span.answered).sum();
            prop_assert_eq!(sum, minutes.len() as u64);
            let most = spans.iter().flatten().map(|span| span.parked).max();
            prop_assert_eq!(most, minutes.iter().max().copied());
        }

        #[test]
        fn it_stays_bounded(start in any::<u32>(), step in 1..3_000_000_u64) {
            let slots = (0..SLOTS_MAX as u64 + 50).map(|slot| u64::from(start) + slot * step);
            let mut history = SampleHistory::default();
            for slot in slots {
                history.add(slot, sample(1, 1));
            }
            prop_assert_eq!(history.slots.len(), SLOTS_MAX);
        }

        #[test]
        fn a_history_that_was_cut_off_is_an_error(at in any::<prop::sample::Index>()) {
            let content = history([1, 7, 90]).encode();
            let cut = &content.as_bytes()[..at.index(content.len())];
            prop_assert!(SampleHistory::decode(cut).is_err());
        }
    }
}
