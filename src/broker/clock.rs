//! The only reader of the clock. In tests it is tokio's, which can be paused.

use std::time::Instant;

/// Now, on the monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "here, and nowhere else, the clock is read"
)]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
