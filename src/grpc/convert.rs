//! Our types as those of the protocols, and back.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;

use crate::proto::admin::v1;
use crate::wire::nat::NatClass;

/// A span of time; the protocol knows no longer one than 10,000 years.
pub(super) fn duration(span: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(span).unwrap_or(prost_types::Duration {
        seconds: i64::MAX,
        nanos: 0,
    })
}

/// A point in time.
pub(super) fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::from(time)
}

/// A count.
pub(super) fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The same of one that is 64 bits wide on every machine.
pub(super) fn total(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A pool.
pub(super) fn pool(class: NatClass) -> v1::Pool {
    match class {
        NatClass::Open => v1::Pool::Open,
        NatClass::Moderate => v1::Pool::Moderate,
        NatClass::Strict => v1::Pool::Strict,
    }
}
