//! The only module that reads the clock. In tests the clock is tokio's, which can be
//! paused.

use std::time::{Duration, Instant, SystemTime};

/// Maximum time between two readings that count as simultaneous.
const AT_ONCE: Duration = Duration::from_millis(10);
/// Maximum number of attempts at such a pair of readings on a busy machine.
const TRIES: usize = 100;

/// Both clocks at the same moment. Only such readings show whether the wall clock was set
/// between two of them.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The wall clock.
    pub wall: SystemTime,
    /// The monotonic clock, which is never set.
    pub monotonic: Instant,
}

/// The current time on the monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "here, and nowhere else, the clock is read"
)]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The current wall-clock time, for people and other programs.
#[expect(
    clippy::disallowed_methods,
    reason = "here, and nowhere else, the clock is read"
)]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Reads both clocks, and repeats that if the program was paused in between.
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
