//! The only reader of the clock. In tests it is tokio's, which can be paused.

use std::time::{Duration, Instant, SystemTime};

/// The most that may pass between two looks that count as one.
const AT_ONCE: Duration = Duration::from_millis(10);
/// The number of tries to have two such looks: a machine may be that busy.
const TRIES: usize = 100;

/// Both clocks as they are at one time: only such readings tell whether the
/// calendar's clock was set from one to the other.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The calendar's clock.
    pub wall: SystemTime,
    /// The clock that nobody sets.
    pub monotonic: Instant,
}

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

/// Both clocks. A program that is stopped between the two looks, looks again.
pub fn read() -> Reading {
    let mut reading = look();
    for _ in 1..TRIES {
        let after = now();
        if after.saturating_duration_since(reading.monotonic) < AT_ONCE {
            break;
        }
        reading = look();
    }
    reading
}

fn look() -> Reading {
    Reading {
        monotonic: now(),
        wall: wall_clock(),
    }
}
