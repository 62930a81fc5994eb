//! The only reader of the clock. In tests it is tokio's, which can be paused.

use std::time::{Instant, SystemTime};

/// Now, on the monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "here, and nowhere else, the clock is read"
)]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Now, by the calendar: for what people and other programs read.
#[expect(
    clippy::disallowed_methods,
    reason = "here, and nowhere else, the clock is read"
)]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}
