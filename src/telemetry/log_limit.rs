//! Rate limits for log lines that strangers can provoke.
//!
//! A [`LogLimit`] reports the number of suppressed lines with the next line that it
//! admits. That may take long, so each limit is also in a [`Register`], whose
//! [`Register::report`] reports the number once the period is over.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tracing::Level;

/// The number of lines that were suppressed since the last one; none if there were none,
/// so that the line has no such field.
pub type Suppressed = Option<NonZeroU64>;

/// Admits a number of lines of one kind in each period, and counts the others. Use one
/// limit for each kind of line.
#[derive(Debug)]
pub struct LogLimit(Arc<LineCounts>);

/// A kind of limited lines.
#[derive(Clone, Debug)]
pub struct Kind {
    /// The level of the lines, and of the report about suppressed ones.
    pub level: Level,
    /// A summary of the lines, such as `refused polls of clients`.
    pub gist: Cow<'static, str>,
}

impl Kind {
    /// A kind with this level and summary.
    pub const fn new(level: Level, gist: &'static str) -> Self {
        Self {
            level,
            gist: Cow::Borrowed(gist),
        }
    }
}

#[derive(Debug)]
struct LineCounts {
    kind: Kind,
    most: u32,
    period: Duration,
    state: Mutex<PeriodState>,
}

#[derive(Debug, Default)]
struct PeriodState {
    /// The start of the current period; `None` before the first line.
    began: Option<Instant>,
    logged: u32,
    suppressed: u64,
}

impl LogLimit {
    /// A limit of `most` lines in each `period`, which begins with its first line.
    pub fn new(kind: Kind, most: u32, period: Duration) -> Self {
        Self::registered(&REGISTER, kind, most, period)
    }

    fn registered(register: &Register, kind: Kind, most: u32, period: Duration) -> Self {
        let counts = Arc::new(LineCounts {
            kind,
            most,
            period,
            state: Mutex::default(),
        });
        register.add(&counts);
        Self(counts)
    }

    /// Decides about a line that may be logged `now`: `None` suppresses it; `Some` admits
    /// it, with the number of suppressed lines not yet reported.
    pub fn admit(&self, now: Instant) -> Option<Suppressed> {
        let mut state = self.0.state();
        if state.began.is_none_or(|began| self.0.is_over(began, now)) {
            state.began = Some(now);
            state.logged = 0;
        }
        if state.logged >= self.0.most {
            state.suppressed += 1;
            return None;
        }
        state.logged += 1;
        Some(NonZeroU64::new(std::mem::take(&mut state.suppressed)))
    }
}

impl LineCounts {
    /// The counters are consistent even if a thread panicked while holding the lock.
    fn state(&self) -> MutexGuard<'_, PeriodState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self, began: Instant, now: Instant) -> bool {
        now.saturating_duration_since(began) >= self.period
    }

    /// The number of suppressed lines not yet reported, if a report is due.
    fn due(&self, when: When) -> Option<u64> {
        let mut state = self.state();
        let is_due = match (when, state.began) {
            (When::PeriodsAreOver(now), Some(began)) => self.is_over(began, now),
            (When::AtOnce, _) => true,
            (When::PeriodsAreOver(_), None) => false,
        };
        let suppressed = if is_due {
            std::mem::take(&mut state.suppressed)
        } else {
            0
        };
        (suppressed > 0).then_some(suppressed)
    }
}

/// A separate [`LogLimit`] for each name.
#[derive(Debug)]
pub struct LogLimits {
    kind: Kind,
    most: u32,
    period: Duration,
    by_name: Mutex<BTreeMap<String, LogLimit>>,
}

impl LogLimits {
    /// Limits of `most` lines per name and `period`.
    pub const fn new(kind: Kind, most: u32, period: Duration) -> Self {
        Self {
            kind,
            most,
            period,
            by_name: Mutex::new(BTreeMap::new()),
        }
    }

    /// Decides about a line for a name that may be logged `now`; see [`LogLimit::admit`].
    /// Names are kept forever, so there must be few.
    pub fn admit(&self, name: &str, now: Instant) -> Option<Suppressed> {
        // The limits are consistent even if a thread panicked while holding the lock.
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(limit) = by_name.get(name) {
            return limit.admit(now);
        }
        let mut kind = self.kind.clone();
        if !name.is_empty() {
            kind.gist = format!("{} ({name})", kind.gist).into();
        }
        let limit = LogLimit::new(kind, self.most, self.period);
        let admitted = limit.admit(now);
        by_name.insert(name.to_owned(), limit);
        admitted
    }
}

/// All limits of the program.
static REGISTER: Register = Register::new();

/// A register of limits, as long as they are in use.
#[derive(Debug)]
struct Register(Mutex<Vec<Weak<LineCounts>>>);

/// The selection of suppressed lines to report.
#[derive(Clone, Copy, Debug)]
enum When {
    /// Lines of periods that are over at this time.
    PeriodsAreOver(Instant),
    /// All lines: nothing more will be logged.
    AtOnce,
}

impl Register {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn add(&self, counts: &Arc<LineCounts>) {
        self.limits().push(Arc::downgrade(counts));
    }

    /// The kinds with suppressed lines, and their numbers.
    fn due(&self, when: When) -> Vec<(Kind, u64)> {
        let mut due = Vec::new();
        self.limits().retain(|limit| {
            let Some(counts) = limit.upgrade() else {
                return false;
            };
            due.extend(counts.due(when).map(|count| (counts.kind.clone(), count)));
            true
        });
        due
    }

    fn report(&self, when: When) {
        // No lock is held while logging.
        for (Kind { level, gist }, suppressed) in self.due(when) {
            match level {
                Level::ERROR => tracing::error!(suppressed, "similar lines were left out: {gist}"),
                Level::WARN => tracing::warn!(suppressed, "similar lines were left out: {gist}"),
                _ => tracing::info!(suppressed, "similar lines were left out: {gist}"),
            }
        }
    }

    /// The list is consistent even if a thread panicked while holding the lock.
    fn limits(&self) -> MutexGuard<'_, Vec<Weak<LineCounts>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Logs the number of suppressed lines for each limit whose period is over `now`, unless
/// a later line has reported it. Call it periodically.
pub fn report_suppressed(now: Instant) {
    REGISTER.report(When::PeriodsAreOver(now));
}

/// Logs the number for all limits, at the end of the program.
pub fn report_all_suppressed() {
    REGISTER.report(When::AtOnce);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PERIOD: Duration = Duration::from_mins(1);
    const KIND: Kind = Kind::new(Level::INFO, "a test");

    fn limit(most: u32) -> LogLimit {
        LogLimit::registered(&Register::new(), KIND, most, PERIOD)
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
    fn suppressed_lines_are_told_when_the_period_is_over() {
        let register = Register::new();
        let limit = LogLimit::registered(&register, KIND, 1, PERIOD);
        let dropped = LogLimit::registered(&register, KIND, 1, PERIOD);
        let now = Instant::now();
        let due = |now| {
            let due = register.due(When::PeriodsAreOver(now));
            due.iter().map(|(_, count)| count).sum::<u64>()
        };
        assert_eq!(due(now), 0);
        limit.admit(now);
        assert_eq!(due(now + PERIOD), 0, "none was suppressed");
        limit.admit(now);
        limit.admit(now);
        assert_eq!(due(now + PERIOD / 2), 0, "the next line may say so");
        assert_eq!(due(now + PERIOD), 2);
        assert_eq!(due(now + PERIOD), 0, "it has been said");
        assert_eq!(limit.admit(now + PERIOD), Some(None));
        limit.admit(now + PERIOD);
        let at_once = register.due(When::AtOnce);
        assert_eq!(at_once.len(), 1);
        assert_eq!((&*at_once[0].0.gist, at_once[0].1), ("a test", 1));
        drop(dropped);
        register.due(When::AtOnce);
        assert_eq!(register.limits().len(), 1);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
    fn suppressed_lines_are_told_with_the_next_one() {
        let limit = limit(2);
        let now = Instant::now();
        let late = now + Duration::from_secs(59);
        assert_eq!(limit.admit(now), Some(None));
        assert_eq!(limit.admit(late), Some(None));
        assert_eq!(limit.admit(late), None);
        assert_eq!(limit.admit(late), None);
        assert_eq!(limit.admit(now + PERIOD), Some(NonZeroU64::new(2)));
        assert_eq!(limit.admit(now + PERIOD), Some(None));
    }

    proptest! {
        #[test]
        #[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
        fn every_line_is_logged_or_counted(
            most in 1..5u32,
            pauses in prop::collection::vec(0..30u64, 1..200),
        ) {
            let register = Register::new();
            let limit = LogLimit::registered(&register, KIND, most, PERIOD);
            let mut now = Instant::now();
            let mut logged = Vec::new();
            let mut told = 0;
            let mut refused = 0;
            for pause in &pauses {
                now += Duration::from_secs(*pause);
                if pause % 7 == 0 {
                    let due = register.due(When::PeriodsAreOver(now));
                    told += due.iter().map(|(_, count)| count).sum::<u64>();
                }
                match limit.admit(now) {
                    Some(suppressed) => {
                        told += suppressed.map_or(0, NonZeroU64::get);
                        logged.push(now);
                    }
                    None => refused += 1,
                }
            }
            prop_assert_eq!(logged.len() as u64 + refused, pauses.len() as u64);
            let rest = register.due(When::AtOnce);
            told += rest.iter().map(|(_, count)| count).sum::<u64>();
            prop_assert_eq!(told, refused);
            // The first line of a period and the first one of the period after the next
            // are at least one period apart.
            for pair in logged.windows(2 * most as usize + 1) {
                prop_assert!(pair[pair.len() - 1] - pair[0] >= PERIOD);
            }
        }
    }
}
