//! The log filter.

use std::ops::RangeInclusive;
use std::time::Duration;

use tonic::Status;

use super::operations::Operations;
use crate::broker::clock;
use crate::grpc::convert::timestamp;
use crate::grpc::violations::{invalid, span_within};
use crate::proto::admin::v1;
use crate::telemetry::LogLevel;

/// The bounds of the duration of a temporary log filter.
const TTLS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

/// Changes the filter, for good or for a while.
pub(super) fn set(
    operations: &dyn Operations,
    asked: &v1::SetLogFilterRequest,
) -> Result<v1::LogFilter, Status> {
    let ttl = asked.ttl.map(|ttl| span_within("ttl", ttl, &TTLS));
    let ttl = ttl.transpose()?;
    let set = if asked.validate_only {
        let checked = LogLevel::parse(&asked.filter);
        checked
            .map(|_| ttl.map(|ttl| clock::wall_clock() + ttl))
            .map_err(|error| error.to_string())
    } else {
        operations.set_log_filter(&asked.filter, ttl)
    };
    let expire_time = set.map_err(|problem| invalid("filter", problem))?;
    Ok(v1::LogFilter {
        filter: asked.filter.clone(),
        expire_time: expire_time.map(timestamp),
    })
}
