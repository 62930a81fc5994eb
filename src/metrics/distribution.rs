//! Values counted by bucket, between bounds that are known when the program is built.

/// Values in thousandths, by bucket, and their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distribution<const N: usize> {
    /// The upper bound of each bucket but the last, which has none.
    bounds: &'static [u16; N],
    counts: [u64; N],
    more: u64,
    sum: u64,
}

impl<const N: usize> Distribution<N> {
    /// No values yet.
    pub(super) fn new(bounds: &'static [u16; N]) -> Self {
        Self {
            bounds,
            counts: [0; N],
            more: 0,
            sum: 0,
        }
    }

    /// Counts a value, given in thousandths.
    pub(super) fn record(&mut self, thousandths: u64) {
        let place = self
            .bounds
            .partition_point(|bound| u64::from(*bound) * 1_000 < thousandths);
        match self.counts.get_mut(place) {
            Some(count) => *count += 1,
            None => self.more += 1,
        }
        self.sum = self.sum.saturating_add(thousandths);
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.more
    }

    /// The sum of all values.
    pub(super) fn sum(&self) -> f64 {
        as_f64(self.sum) / 1_000.0
    }

    /// The upper bound and the count of each bucket; the last bound is infinite.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + use<N> {
        let bounds = self.bounds.iter().copied().map(f64::from);
        let counts = self.counts.into_iter().chain([self.more]);
        bounds.chain([f64::INFINITY]).zip(counts)
    }

    /// The value that a `share` (0 to 1) of all values does not exceed; `None` without
    /// values. They are taken to be spread evenly within their bucket, and those above the
    /// last bound count as that bound.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = as_f64(self.count()) * share;
        let (mut below, mut lower) = (0, 0.0);
        for (upper, count) in self.buckets().take(N) {
            if count > 0 && as_f64(below + count) >= wanted {
                let part = (wanted - as_f64(below)).max(0.0) / as_f64(count);
                return Some(lower + (upper - lower) * part);
            }
            below += count;
            lower = upper;
        }
        (self.count() > 0).then_some(lower)
    }

    /// The bound of the bucket in which the value is that a `share` (0 to 1) of all values
    /// does not exceed, for values that are whole numbers; `None` without values.
    pub fn bound_of(&self, share: f64) -> Option<f64> {
        let quantile = self.quantile(share)?;
        let bounds = self.bounds.iter().copied().map(f64::from);
        bounds.into_iter().find(|bound| *bound >= quantile)
    }

    /// The count of each bucket and the sum, to be saved.
    pub(super) fn numbers(&self) -> Vec<u64> {
        let counts = self.counts.into_iter();
        counts.chain([self.more, self.sum]).collect()
    }

    /// The values of which this is saved; `None` if there are other buckets now.
    pub(super) fn from_numbers(bounds: &'static [u16; N], saved: &[u64]) -> Option<Self> {
        let (&sum, counts) = saved.split_last()?;
        let (&more, counts) = counts.split_last()?;
        Some(Self {
            bounds,
            counts: counts.try_into().ok()?,
            more,
            sum,
        })
    }

    /// Both together.
    pub(super) fn plus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// The values recorded after `then`.
    pub(super) fn since(&self, then: &Self) -> Self {
        self.with(then, u64::saturating_sub)
    }

    fn with(&self, other: &Self, calculate: fn(u64, u64) -> u64) -> Self {
        Self {
            bounds: self.bounds,
            counts: std::array::from_fn(|place| calculate(self.counts[place], other.counts[place])),
            more: calculate(self.more, other.more),
            sum: calculate(self.sum, other.sum),
        }
    }
}

/// A count for calculations.
#[expect(clippy::cast_precision_loss, reason = "no broker counts to 2^53")]
pub(super) fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_in_the_bucket_up_to_their_bound() {
        let mut tries = Distribution::new(&[1, 2, 5]);
        assert_eq!((tries.quantile(0.5), tries.bound_of(0.5)), (None, None));
        for value in [1_000, 2_000, 2_001, 5_000, 5_001] {
            tries.record(value);
        }
        let buckets: Vec<_> = tries.buckets().collect();
        assert_eq!(buckets, [(1.0, 1), (2.0, 1), (5.0, 2), (f64::INFINITY, 1)]);
        assert!((tries.sum() - 15.002).abs() < 1e-9);
        assert_eq!(tries.bound_of(0.2), Some(1.0));
        assert_eq!(tries.bound_of(0.95), Some(5.0));
        assert_eq!(tries.since(&tries).count(), 0);
        assert_eq!(tries.plus(&tries).count(), 10);
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let mut seconds = Distribution::new(&[10, 20]);
        for _ in 0..4 {
            seconds.record(15_000);
        }
        assert_eq!(seconds.quantile(0.5), Some(15.0));
        assert_eq!(seconds.quantile(1.0), Some(20.0));
    }
}
