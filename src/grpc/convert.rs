//! Conversions between our types and those of the protocols.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;

use crate::proto::admin::v1;
use crate::wire::nat::NatClass;

/// Converts a duration; the protocol's maximum is 10,000 years.
pub(super) fn duration(span: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(span).unwrap_or(prost_types::Duration {
        seconds: i64::MAX,
        nanos: 0,
    })
}

/// Converts a point in time.
pub(super) fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::from(time)
}

/// Converts a count.
pub(super) fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Converts a count that has 64 bits on every machine.
pub(super) fn total(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Converts a pool.
pub(super) fn pool(class: NatClass) -> v1::Pool {
    match class {
        NatClass::Open => v1::Pool::Open,
        NatClass::Moderate => v1::Pool::Moderate,
        NatClass::Strict => v1::Pool::Strict,
    }
}
