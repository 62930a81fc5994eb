//! Keeps what strangers provoke from flooding the log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets so many lines of one kind through in a period, and counts the others.
/// One for each kind of line.
#[derive(Debug)]
pub struct LogLimit {
    most: u32,
    period: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the period began; `None` before the first line.
    began: Option<Instant>,
    logged: u32,
    suppressed: u64,
}

impl LogLimit {
    /// At most `most` lines in each `period`, which begins with its first line.
    pub const fn new(most: u32, period: Duration) -> Self {
        Self {
            most,
            period,
            state: Mutex::new(State {
                began: None,
                logged: 0,
                suppressed: 0,
            }),
        }
    }

    /// Whether a line may be logged `now`: `None` says no, `Some` how many
    /// lines were suppressed since the last one that was logged.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        // Counters are whole at any time, even if a holder of the lock panicked.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |began| now.saturating_duration_since(began) >= self.period;
        if state.began.is_none_or(over) {
            state.began = Some(now);
            state.logged = 0;
        }
        if state.logged >= self.most {
            state.suppressed += 1;
            return None;
        }
        state.logged += 1;
        Some(std::mem::take(&mut state.suppressed))
    }
}

/// A [`LogLimit`] for each of some who are known by name.
#[derive(Debug)]
pub struct LogLimits {
    most: u32,
    period: Duration,
    by_name: Mutex<BTreeMap<String, LogLimit>>,
}

impl LogLimits {
    /// At most `most` lines of each in a `period`.
    pub const fn new(most: u32, period: Duration) -> Self {
        Self {
            most,
            period,
            by_name: Mutex::new(BTreeMap::new()),
        }
    }

    /// Whether a line about somebody may be logged `now`; see
    /// [`LogLimit::admit`]. Names are kept: there have to be few.
    pub fn admit(&self, name: &str, now: Instant) -> Option<u64> {
        // Limits are whole at any time, even if a holder of the lock panicked.
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limit) = by_name.get(name) {
            return limit.admit(now);
        }
        let limit = LogLimit::new(self.most, self.period);
        let admitted = limit.admit(now);
        by_name.insert(name.to_owned(), limit);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PERIOD: Duration = Duration::from_mins(1);

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
    fn suppressed_lines_are_told_with_the_next_one() {
        let limit = LogLimit::new(2, PERIOD);
        let now = Instant::now();
        let late = now + Duration::from_secs(59);
        assert_eq!(limit.admit(now), Some(0));
        assert_eq!(limit.admit(late), Some(0));
        assert_eq!(limit.admit(late), None);
        assert_eq!(limit.admit(late), None);
        assert_eq!(limit.admit(now + PERIOD), Some(2));
        assert_eq!(limit.admit(now + PERIOD), Some(0));
    }

    proptest! {
        #[test]
        #[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
        fn every_line_is_logged_or_counted(
            most in 1..5u32,
            pauses in prop::collection::vec(0..30u64, 1..200),
        ) {
            let limit = LogLimit::new(most, PERIOD);
            let mut now = Instant::now();
            let mut logged = Vec::new();
            let mut told = 0;
            let mut refused = 0;
            for pause in &pauses {
                now += Duration::from_secs(*pause);
                match limit.admit(now) {
                    Some(suppressed) => {
                        told += suppressed;
                        logged.push(now);
                    }
                    None => refused += 1,
                }
            }
            prop_assert_eq!(logged.len() as u64 + refused, pauses.len() as u64);
            prop_assert!(told <= refused);
            // The first line of a period and the first of the one after next
            // are a whole period apart at least.
            for pair in logged.windows(2 * most as usize + 1) {
                prop_assert!(pair[pair.len() - 1] - pair[0] >= PERIOD);
            }
        }
    }
}
