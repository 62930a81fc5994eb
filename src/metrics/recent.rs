//! What came of late: running totals, looked at every few seconds and kept for
//! an hour, so that whoever asks gets rates and shares of the last minutes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::labels::{ClientOutcome, Label, PollOutcome};

/// Upper bounds of the buckets of every latency, in seconds; what is longer is
/// in one more bucket. Proxies answer after 0.3 to 3 s, clients leave after 5.
pub const LATENCIES: [f64; 12] = [
    0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0,
];

/// How often the totals are to be sampled.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);
/// How far back samples reach: an hour, and one more to subtract.
const SAMPLES_MAX: usize = 721;

/// What has come and ended. Of two of these the difference is what came and
/// ended in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Polls of proxies that came.
    pub proxy_polls: u64,
    /// Polls of proxies that ended; the index is the [`PollOutcome`].
    pub proxy_outcomes: [u64; <PollOutcome as Label>::ALL.len()],
    /// Polls of clients that came.
    pub client_polls: u64,
    /// Polls of clients that ended; the index is the [`ClientOutcome`].
    pub client_outcomes: [u64; <ClientOutcome as Label>::ALL.len()],
    /// From the arrival of a client's request until its answer.
    pub request_to_answer: Latencies,
    /// From the hand-off to the proxy that answered until its answer.
    pub hand_off_to_answer: Latencies,
}

/// How many latencies were in each bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies([u64; LATENCIES.len() + 1]);

/// The totals of now, and those of the last hour.
#[derive(Debug, Default)]
pub struct Recent {
    /// To be counted up by whoever sees something come or end.
    pub totals: Totals,
    samples: VecDeque<(Instant, Totals)>,
}

/// What came and ended in a span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// How long the span is: shorter than what was asked for after a start.
    pub covered: Duration,
    /// What came and ended.
    pub counts: Totals,
}

impl Recent {
    /// Remembers the totals as those of `now`; to be called at the start and
    /// every [`SAMPLE_INTERVAL`].
    pub fn sample(&mut self, now: Instant) {
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((now, self.totals.clone()));
    }

    /// What came and ended in the last `span`, to the precision of a
    /// [`SAMPLE_INTERVAL`]; at most an hour.
    pub fn activity(&self, now: Instant, span: Duration) -> Activity {
        let age = |at: Instant| now.saturating_duration_since(at);
        let inside = self.samples.partition_point(|(at, _)| age(*at) >= span);
        // The last sample before the span, else the first there is. A sample
        // within it is nearer only right after the start.
        let is_near = |index: &usize| {
            let sample = self.samples.get(*index);
            sample.is_some_and(|(at, _)| age(*at) <= span + SAMPLE_INTERVAL)
        };
        let before = inside.checked_sub(1).filter(is_near).unwrap_or(inside);
        match self.samples.get(before) {
            Some((at, then)) => Activity {
                covered: age(*at),
                counts: self.totals.since(then),
            },
            None => Activity {
                covered: Duration::ZERO,
                counts: Totals::default(),
            },
        }
    }
}

impl Totals {
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

impl Latencies {
    /// Counts one.
    pub fn record(&mut self, latency: Duration) {
        let seconds = latency.as_secs_f64();
        self.0[LATENCIES.partition_point(|bound| *bound < seconds)] += 1;
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The latency that a share of 0 to 1 of them does not exceed, taken to be
    /// spread evenly within its bucket; `None` where there are none. Longer ones
    /// than the last bound count as that.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let wanted = as_f64(self.count()) * share;
        let mut below = 0;
        let mut lower = 0.0;
        for (count, upper) in self.0.into_iter().zip(LATENCIES) {
            if count > 0 && as_f64(below + count) >= wanted {
                let part = (wanted - as_f64(below)).max(0.0) / as_f64(count);
                return Some(Duration::from_secs_f64(lower + (upper - lower) * part));
            }
            below += count;
            lower = upper;
        }
        (self.count() > 0).then(|| Duration::from_secs_f64(lower))
    }

    fn since(&self, then: &Self) -> Self {
        Self(difference(self.0, then.0))
    }
}

fn difference<const N: usize>(now: [u64; N], then: [u64; N]) -> [u64; N] {
    std::array::from_fn(|index| now[index] - then[index])
}

#[expect(
    clippy::cast_precision_loss,
    reason = "no broker counts to 2^53 within an hour"
)]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A broker that gets one poll of a proxy each second, after so many, and
    /// the time then.
    #[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
    fn after(seconds: u64) -> (Recent, Instant) {
        let start = Instant::now();
        let mut recent = Recent::default();
        recent.sample(start);
        for second in 1..=seconds {
            recent.totals.proxy_polls += 1;
            if second % SAMPLE_INTERVAL.as_secs() == 0 {
                recent.sample(start + Duration::from_secs(second));
            }
        }
        (recent, start + Duration::from_secs(seconds))
    }

    fn covered_and_polls((recent, now): &(Recent, Instant), minutes: u64) -> (u64, u64) {
        let activity = recent.activity(*now, Duration::from_mins(minutes));
        (activity.covered.as_secs(), activity.counts.proxy_polls)
    }

    #[test]
    fn spans_are_covered_as_far_as_there_was_time() {
        let nothing = Recent::default();
        let (_, now) = after(0);
        assert_eq!(covered_and_polls(&(nothing, now), 1), (0, 0));
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
        let (recent, _) = after(20_000);
        assert_eq!(recent.samples.len(), SAMPLES_MAX);
    }

    #[test]
    fn a_clock_that_stood_still_between_samples_is_no_trouble() {
        let (recent, now) = after(100);
        // The broker was stopped for a day: no sample is near.
        let later = now + Duration::from_hours(24);
        let activity = recent.activity(later, Duration::from_mins(1));
        assert_eq!(activity.counts, Totals::default());
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), None);
        for _ in 0..100 {
            latencies.record(Duration::from_millis(80));
        }
        let millis = |latencies: &Latencies, share| latencies.quantile(share).unwrap().as_millis();
        assert_eq!(millis(&latencies, 0.5), 75);
        assert_eq!(millis(&latencies, 0.9), 95);
        for _ in 0..100 {
            latencies.record(Duration::from_mins(1));
        }
        assert_eq!(latencies.count(), 200);
        assert_eq!(millis(&latencies, 0.5), 100);
        assert_eq!(millis(&latencies, 0.99), 5000);
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::from_millis(50));
        assert_eq!(latencies.0[0], 1);
        latencies.record(Duration::ZERO);
        assert_eq!(latencies.0[0], 2);
    }
}
