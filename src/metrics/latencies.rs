//! Latencies counted by bucket, so that quantiles can be given for any span of time.

use std::time::Duration;

/// Upper bounds of all latency buckets, in seconds; one more bucket holds longer
/// latencies. Proxies answer after 0.3 to 3 s, clients leave after 5 s.
pub const LATENCIES: [f64; 12] = [
    0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0,
];

/// Latencies by bucket, and their sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    counts: [u64; LATENCIES.len() + 1],
    sum: Duration,
}

impl Latencies {
    /// Counts a latency.
    pub fn record(&mut self, latency: Duration) {
        let seconds = latency.as_secs_f64();
        self.counts[LATENCIES.partition_point(|bound| *bound < seconds)] += 1;
        self.sum = self.sum.saturating_add(latency);
    }

    /// The number of latencies.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The latency that a `share` (0 to 1) of all latencies does not exceed; `None`
    /// without latencies. They are taken to be spread evenly within their bucket, and
    /// those above the last bound count as that bound.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let wanted = as_f64(self.count()) * share;
        let mut below = 0;
        let mut lower = 0.0;
        for (count, upper) in self.counts.into_iter().zip(LATENCIES) {
            if count > 0 && as_f64(below + count) >= wanted {
                let part = (wanted - as_f64(below)).max(0.0) / as_f64(count);
                return Some(Duration::from_secs_f64(lower + (upper - lower) * part));
            }
            below += count;
            lower = upper;
        }
        (self.count() > 0).then(|| Duration::from_secs_f64(lower))
    }

    /// The sum of all latencies.
    pub(super) fn sum(&self) -> Duration {
        self.sum
    }

    /// The upper bound in seconds and the count of each bucket; the last bound is
    /// infinite.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = LATENCIES.into_iter().chain([f64::INFINITY]);
        bounds.zip(self.counts).collect()
    }

    /// The sum of both.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            counts: std::array::from_fn(|index| self.counts[index] + other.counts[index]),
            sum: self.sum.saturating_add(other.sum),
        }
    }

    /// The latencies recorded after `then`.
    pub(super) fn since(&self, then: &Self) -> Self {
        Self {
            counts: std::array::from_fn(|index| self.counts[index] - then.counts[index]),
            sum: self.sum.saturating_sub(then.sum),
        }
    }
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
        assert_eq!(latencies.counts[0], 1);
        latencies.record(Duration::ZERO);
        assert_eq!(latencies.counts[0], 2);
    }
}
