//! The last hour: samples of the counters, taken every few seconds, from which rates and
//! shares of the last minutes are computed.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::counters::Counters;
use super::labels::{ClientOutcome, Label, PollOutcome};
use super::latencies::Latencies;

/// The interval at which the totals are sampled.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);
/// The samples of an hour, plus one to subtract.
const SAMPLES_MAX: usize = 721;

/// Total polls that arrived and ended. The difference of two totals is the activity
/// between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Proxy polls that arrived.
    pub proxy_polls: u64,
    /// Proxy polls that ended, indexed by [`PollOutcome`].
    pub proxy_outcomes: [u64; PollOutcome::ALL.len()],
    /// Client polls that arrived.
    pub client_polls: u64,
    /// Client polls that ended, indexed by [`ClientOutcome`].
    pub client_outcomes: [u64; ClientOutcome::ALL.len()],
    /// Times from the arrival of a client's request until its answer.
    pub request_to_answer: Latencies,
    /// Times from the hand-off of an offer until that proxy's answer.
    pub hand_off_to_answer: Latencies,
}

/// The totals of the last hour.
#[derive(Debug, Default)]
pub(super) struct Samples(VecDeque<(Instant, Totals)>);

/// Polls that arrived and ended in a span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentActivity {
    /// The length of the span, which is shorter than requested soon after a start.
    pub covered: Duration,
    /// The polls that arrived and ended.
    pub counts: Totals,
}

impl Samples {
    /// Adds the totals at `now`. To be called at the start and every [`SAMPLE_INTERVAL`].
    pub(super) fn push(&mut self, now: Instant, totals: Totals) {
        if self.0.len() == SAMPLES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now, totals));
    }

    /// The difference between the totals at `now` and a `span` ago, at most an hour, to
    /// the precision of a [`SAMPLE_INTERVAL`].
    pub(super) fn activity(&self, now: Instant, span: Duration, totals: &Totals) -> RecentActivity {
        let age = |at: Instant| now.saturating_duration_since(at);
        let inside = self.0.partition_point(|(at, _)| age(*at) >= span);
        // Prefer the last sample before the span, else the first one there is. A sample
        // within the span is closer only right after the start.
        let is_near = |index: &usize| {
            let sample = self.0.get(*index);
            sample.is_some_and(|(at, _)| age(*at) <= span + SAMPLE_INTERVAL)
        };
        let before = inside.checked_sub(1).filter(is_near).unwrap_or(inside);
        match self.0.get(before) {
            Some((at, then)) => RecentActivity {
                covered: age(*at),
                counts: totals.since(then),
            },
            None => RecentActivity {
                covered: Duration::ZERO,
                counts: Totals::default(),
            },
        }
    }
}

impl Totals {
    pub(super) fn of(counters: &Counters) -> Self {
        let ended = counters.proxy_polls.sums(|end| Some(end.outcome));
        let left = counters.client_polls.sums(|end| Some(end.outcome));
        Self {
            proxy_polls: counters.proxy_arrivals.sum(|_| true),
            proxy_outcomes: by_outcome(&ended),
            client_polls: counters.client_arrivals.sum(|_| true),
            client_outcomes: by_outcome(&left),
            request_to_answer: all(&counters.request_to_answer),
            hand_off_to_answer: all(&counters.hand_off_to_answer),
        }
    }

    fn since(&self, then: &Self) -> Self {
        Self {
            proxy_polls: self.proxy_polls - then.proxy_polls,
            proxy_outcomes: difference(self.proxy_outcomes, then.proxy_outcomes),
            client_polls: self.client_polls - then.client_polls,
            client_outcomes: difference(self.client_outcomes, then.client_outcomes),
            request_to_answer: self.request_to_answer.since(&then.request_to_answer),
            hand_off_to_answer: self.hand_off_to_answer.since(&then.hand_off_to_answer),
        }
    }
}

fn by_outcome<O: Label, const N: usize>(counts: &BTreeMap<O, u64>) -> [u64; N] {
    std::array::from_fn(|index| O::ALL.get(index).map_or(0, |outcome| counts[outcome]))
}

fn all<K>(latencies: &BTreeMap<K, Latencies>) -> Latencies {
    let none = Latencies::default();
    latencies.values().fold(none, |sum, more| sum.plus(more))
}

fn difference<const N: usize>(now: [u64; N], then: [u64; N]) -> [u64; N] {
    std::array::from_fn(|index| now[index] - then[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The samples and totals of a broker that got one proxy poll a second for this long,
    /// and the time then.
    #[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
    fn after(seconds: u64) -> (Samples, Totals, Instant) {
        let start = Instant::now();
        let (mut samples, mut totals) = (Samples::default(), Totals::default());
        samples.push(start, totals.clone());
        for second in 1..=seconds {
            totals.proxy_polls += 1;
            if second % SAMPLE_INTERVAL.as_secs() == 0 {
                samples.push(start + Duration::from_secs(second), totals.clone());
            }
        }
        (samples, totals, start + Duration::from_secs(seconds))
    }

    fn covered_and_polls(
        (samples, totals, now): &(Samples, Totals, Instant),
        minutes: u64,
    ) -> (u64, u64) {
        let activity = samples.activity(*now, Duration::from_mins(minutes), totals);
        (activity.covered.as_secs(), activity.counts.proxy_polls)
    }

    #[test]
    fn spans_are_covered_as_far_as_there_was_time() {
        let (_, totals, now) = after(0);
        let nothing = (Samples::default(), totals, now);
        assert_eq!(covered_and_polls(&nothing, 1), (0, 0));
        assert_eq!(covered_and_polls(&after(0), 1), (0, 0));
        assert_eq!(covered_and_polls(&after(3), 60), (3, 3));
        assert_eq!(covered_and_polls(&after(12), 1), (12, 12));
        assert_eq!(covered_and_polls(&after(600), 1), (60, 60));
        assert_eq!(covered_and_polls(&after(603), 1), (63, 63));
        assert_eq!(covered_and_polls(&after(603), 5), (303, 303));
        assert_eq!(covered_and_polls(&after(603), 60), (603, 603));
        assert_eq!(covered_and_polls(&after(20_000), 60), (3600, 3600));
        assert_eq!(covered_and_polls(&after(20_004), 60), (3604, 3604));
    }

    #[test]
    fn samples_are_bounded() {
        let (samples, _, _) = after(20_000);
        assert_eq!(samples.0.len(), SAMPLES_MAX);
    }

    #[test]
    fn a_clock_that_stood_still_between_samples_is_no_trouble() {
        let (samples, totals, now) = after(100);
        // The broker was suspended for a day: no sample is close.
        let later = now + Duration::from_hours(24);
        let activity = samples.activity(later, Duration::from_mins(1), &totals);
        assert_eq!(activity.counts, Totals::default());
    }
}
