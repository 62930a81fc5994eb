//! Counts that hide what a single user does.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// A count as it is published: rounded up to a multiple of 8, so that one more
/// or less is seldom seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rounded(u64);

impl Rounded {
    const STEP: u64 = 8;

    /// What is published.
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

/// A counter that counts exactly and shows itself rounded.
#[derive(Clone, Debug, Default)]
pub(super) struct RoundedCounter(Arc<AtomicU64>);

impl RoundedCounter {
    pub(super) fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl TypedMetric for RoundedCounter {
    const TYPE: MetricType = MetricType::Counter;
}

impl EncodeMetric for RoundedCounter {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let count = Rounded::from(self.0.load(Ordering::Relaxed));
        encoder.encode_counter::<NoLabelSet, _, u64>(&count.get(), None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
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
