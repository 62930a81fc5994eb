//! A rate of events, on the broker's clock.

use std::num::NonZeroU32;
use std::time::Instant;

use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::clock;

/// A sustained rate; as many events as in its unit of time may come at once.
#[derive(Debug)]
pub(super) struct EventRate(RateLimiter<NotKeyed, InMemoryState, SinceStart>);

impl EventRate {
    pub(super) fn per_second(events: NonZeroU32) -> Self {
        Self::of(Quota::per_second(events))
    }

    pub(super) fn per_minute(events: NonZeroU32) -> Self {
        Self::of(Quota::per_minute(events))
    }

    fn of(quota: Quota) -> Self {
        Self(RateLimiter::direct_with_clock(
            quota,
            SinceStart(clock::now()),
        ))
    }

    /// Notes an event, unless that would be too many.
    pub(super) fn admits(&self) -> bool {
        self.0.check().is_ok()
    }
}

/// The broker's clock for governor, counted from a start.
#[derive(Clone, Copy, Debug)]
struct SinceStart(Instant);

impl governor::clock::Clock for SinceStart {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        clock::now().saturating_duration_since(self.0).into()
    }
}
