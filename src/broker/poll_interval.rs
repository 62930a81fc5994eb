//! The poll intervals that proxies are told.

pub mod controller;
mod due_calendar;
mod refusals;
mod types;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::report::{COUNT_MAX, SPAN, SettingsReport};
use crate::wire::JsonError;
use crate::wire::json::Object;
use crate::wire::nat::NatClass;

pub use refusals::{RefusalForm, RefusalsAs};
pub use types::TypeIntervals;

/// The bounds of all configured intervals: proxies must neither poll without pause nor
/// stay away forever.
const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
/// The longest [`PollInterval::ceiling`]: proxies that were told a long interval cannot
/// be called back when clients arrive.
const CEILING_MAX: Duration = Duration::from_hours(1);
/// The bounds of [`PollInterval::target_idle_share`]: a hundred idle polls for each
/// matched one are an absurd surplus.
const IDLE_SHARES: RangeInclusive<f64> = 0.0..=100.0;
/// The bounds of [`PollInterval::jitter`]. A larger jitter would be a different interval.
const JITTERS: RangeInclusive<f64> = 0.0..=0.5;

/// The least that is told of an interval that counts from the poll's arrival.
const LEAST_REST: Duration = Duration::from_secs(1);

/// The poll intervals that proxies are told as `NextPoll`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PollInterval {
    /// A JSON file with the intervals of the three pools, which overrides the settings
    /// here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filepath: Option<PathBuf>,
    /// The mode in which the intervals of the three pools are chosen.
    pub mode: Mode,
    /// For proxies that every client can reach.
    #[serde(with = "crate::timespan")]
    pub open: Duration,
    /// For proxies behind a moderate NAT.
    #[serde(with = "crate::timespan")]
    pub moderate: Duration,
    /// For proxies behind a strict or unknown NAT.
    #[serde(with = "crate::timespan")]
    pub strict: Duration,
    /// For proxies refused for their relay pattern.
    #[serde(with = "crate::timespan")]
    pub refused: Duration,
    /// For proxies turned away because `max_parked_polls` are parked, or because too many
    /// polls came from one address.
    #[serde(with = "crate::timespan")]
    pub overloaded: Duration,
    /// Adaptive mode: the shortest interval of a pool.
    #[serde(with = "crate::timespan")]
    pub floor: Duration,
    /// Adaptive mode: the longest interval of a pool.
    #[serde(with = "crate::timespan")]
    pub ceiling: Duration,
    /// Adaptive mode: the number of polls that stay idle, as a multiple of those that get
    /// a client.
    pub target_idle_share: f64,
    /// Adaptive mode: the minimum number of polls that a pool keeps parked, however few
    /// clients come.
    pub min_parked_polls: usize,
    /// The share by which each interval is randomly lengthened or shortened. If unset,
    /// 0.1 in adaptive mode and 0 in fixed mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<f64>,
    /// The moment from which a poll's interval counts.
    pub counted_from: CountedFrom,
    /// Intervals by the type of the proxy, in place of its pool's. In adaptive mode such a
    /// type keeps its ratio to the pool's configured interval.
    pub types: TypeIntervals,
    /// The statuses of refused polls.
    pub refusals_as: RefusalsAs,
}

/// The mode in which the intervals of the pools are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The configured intervals.
    #[default]
    Fixed,
    /// Intervals controlled by recent demand, starting from the configured ones.
    Adaptive,
}

/// The moment from which a poll's interval counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CountedFrom {
    /// The reply to the poll: the interval is told as it is, as by the reference broker up
    /// to 2.14.1.
    #[default]
    Answer,
    /// The arrival of the poll: the rest of the interval is told, as by the reference
    /// broker's main branch.
    Arrival,
}

/// The default jitter in adaptive mode.
const DEFAULT_JITTER: f64 = 0.1;

impl Default for PollInterval {
    fn default() -> Self {
        Self {
            filepath: None,
            mode: Mode::default(),
            open: Duration::from_secs(20),
            moderate: Duration::from_secs(20),
            strict: Duration::from_secs(20),
            refused: Duration::from_mins(10),
            overloaded: Duration::from_mins(2),
            floor: Duration::from_secs(10),
            ceiling: Duration::from_mins(2),
            target_idle_share: 0.5,
            min_parked_polls: 100,
            jitter: None,
            counted_from: CountedFrom::default(),
            types: TypeIntervals::default(),
            refusals_as: RefusalsAs::default(),
        }
    }
}

/// The keys of a poll-interval file.
const KEYS: [&str; 5] = [
    "open_poll_interval",
    "moderate_poll_interval",
    "strict_poll_interval",
    "unrestricted_poll_interval",
    "restricted_poll_interval",
];

/// The error in a poll-interval file.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPollIntervals {
    /// Not JSON, or a value that is not an integer.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The interval is negative.
    #[error("{0} must not be negative")]
    Negative(&'static str),
}

/// The result of reading a poll-interval file.
#[derive(Debug)]
pub struct Overridden {
    /// The intervals, with everything that could be read from the file.
    pub intervals: PollInterval,
    /// The unknown keys in the file.
    pub unknown_keys: Vec<String>,
    /// The errors in the file.
    pub wrong: Vec<InvalidPollIntervals>,
}

impl PollInterval {
    /// Reports invalid settings. The intervals in the file at `filepath` have no bounds,
    /// as in the reference broker.
    pub fn check(&self, report: &mut SettingsReport) {
        report.within("open", self.open, &INTERVALS);
        report.within("moderate", self.moderate, &INTERVALS);
        report.within("strict", self.strict, &INTERVALS);
        report.within("refused", self.refused, &INTERVALS);
        report.within("overloaded", self.overloaded, &INTERVALS);
        report.within("floor", self.floor, &SPAN);
        let share = self.target_idle_share;
        report.within("target_idle_share", share, &IDLE_SHARES);
        report.within("min_parked_polls", self.min_parked_polls, &(0..=COUNT_MAX));
        if let Some(jitter) = self.jitter {
            report.within("jitter", jitter, &JITTERS);
        }
        self.types.check(report);
        if self.ceiling < self.floor {
            let problem = "must be at least poll_interval.floor";
            report.refuse(&["ceiling", "floor"], problem);
        }
        if self.ceiling > CEILING_MAX {
            let problem = "must be an hour or less: proxies would stay away for that long";
            report.refuse(&["ceiling"], problem);
        }
    }

    /// The configured interval of a pool.
    pub fn fixed(&self, pool: NatClass) -> Duration {
        match pool {
            NatClass::Open => self.open,
            NatClass::Moderate => self.moderate,
            NatClass::Strict => self.strict,
        }
    }

    /// The interval of a proxy whose type has the interval `of_type`, and whose pool has
    /// `interval` now. In adaptive mode the type's interval is a multiple of the pool's:
    /// that of the configured ones.
    pub fn by_type(
        &self,
        pool: NatClass,
        interval: Duration,
        of_type: Option<Duration>,
    ) -> Duration {
        let Some(of_type) = of_type else {
            return interval;
        };
        let configured = self.fixed(pool);
        // The poll-interval file may say 0.
        if self.mode == Mode::Fixed || configured.is_zero() {
            return of_type;
        }
        let factor = of_type.as_secs_f64() / configured.as_secs_f64();
        let (least, most) = (
            INTERVALS.start().as_secs_f64(),
            INTERVALS.end().as_secs_f64(),
        );
        Duration::from_secs_f64((interval.as_secs_f64() * factor).clamp(least, most))
    }

    /// The time from the reply to a poll that was parked for `parked` until the proxy's
    /// next poll, a second at least if the interval counts from the poll's arrival.
    pub fn rest(&self, interval: Duration, parked: Duration) -> Duration {
        match self.counted_from {
            CountedFrom::Answer => interval,
            CountedFrom::Arrival => interval.saturating_sub(parked).max(LEAST_REST),
        }
    }

    /// The interval with jitter added; `jitter` is a random number from 0 to 1.
    pub fn jittered(&self, interval: Duration, jitter: f64) -> Duration {
        let share = match (self.jitter, self.mode) {
            (Some(share), _) => share,
            (None, Mode::Adaptive) => DEFAULT_JITTER,
            (None, Mode::Fixed) => return interval,
        };
        interval.mul_f64(1.0 + share * (2.0 * jitter - 1.0))
    }

    /// These intervals, overridden by those in the JSON text of a poll-interval file, in
    /// milliseconds and with keys in any case. The old keys, for two pools, count only if
    /// the new keys are absent.
    pub fn overridden_by(&self, text: &str) -> Overridden {
        let file = match Object::parse(text) {
            Ok(file) => file,
            Err(error) => {
                return Overridden {
                    intervals: self.clone(),
                    unknown_keys: Vec::new(),
                    wrong: vec![error.into()],
                };
            }
        };
        let mut wrong = Vec::new();
        let [open, moderate, strict, unrestricted, restricted] =
            KEYS.map(|key| match interval(&file, key) {
                Ok(interval) => interval,
                Err(problem) => {
                    wrong.push(problem);
                    None
                }
            });
        let intervals = Self {
            open: open.or(unrestricted).unwrap_or(self.open),
            moderate: moderate.unwrap_or(self.moderate),
            strict: strict.or(restricted).unwrap_or(self.strict),
            ..self.clone()
        };
        Overridden {
            intervals,
            unknown_keys: file.unknown_keys(&KEYS).collect(),
            wrong,
        }
    }
}

fn interval(
    file: &Object<'_>,
    key: &'static str,
) -> Result<Option<Duration>, InvalidPollIntervals> {
    let millis = file
        .integer(key)?
        .map(u64::try_from)
        .transpose()
        .map_err(|_| InvalidPollIntervals::Negative(key))?;
    Ok(millis.map(Duration::from_millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The intervals of a file without errors.
    fn read(text: &str) -> PollInterval {
        let read = PollInterval::default().overridden_by(text);
        assert!(
            read.wrong.is_empty() && read.unknown_keys.is_empty(),
            "{read:?}"
        );
        read.intervals
    }

    #[test]
    fn the_file_overrides_what_it_names() {
        let three = read(
            r#"{"open_poll_interval":1000,"moderate_poll_interval":2000,"strict_poll_interval":3000,"restricted_poll_interval":4000}"#,
        );
        assert_eq!(
            [three.open, three.moderate, three.strict],
            [1, 2, 3].map(Duration::from_secs)
        );
        let two = read(r#"{"unrestricted_poll_interval":1000,"restricted_poll_interval":3000}"#);
        assert_eq!(
            [two.open, two.moderate, two.strict],
            [1, 20, 3].map(Duration::from_secs)
        );
        assert_eq!(read("{}"), PollInterval::default());
    }

    #[test]
    fn jitter_is_a_tenth_in_adaptive_mode_and_none_in_fixed_mode_unless_set() {
        let told = |mode, share, jitter| {
            let set = PollInterval {
                mode,
                jitter: share,
                ..PollInterval::default()
            };
            set.jittered(set.open, jitter).as_millis()
        };
        for (mode, share, expected) in [
            (Mode::Fixed, None, [20_000, 20_000, 20_000]),
            (Mode::Adaptive, None, [18_000, 20_000, 22_000]),
            (Mode::Fixed, Some(0.5), [10_000, 20_000, 30_000]),
            (Mode::Adaptive, Some(0.0), [20_000, 20_000, 20_000]),
        ] {
            let told = [0.0, 0.5, 1.0].map(|jitter| told(mode, share, jitter));
            assert_eq!(told, expected, "{mode:?} {share:?}");
        }
    }

    #[test]
    fn the_file_is_read_as_the_reference_broker_reads_it() {
        let read_so = read(
            r#"{"Open_Poll_Interval":1,"open_poll_interval":1000,"OPEN_POLL_INTERVAL":null,"re\u017ftricted_poll_interval":3000}"#,
        );
        assert_eq!(
            [read_so.open, read_so.moderate, read_so.strict],
            [1, 20, 3].map(Duration::from_secs)
        );
        assert_eq!(read("null"), PollInterval::default());
    }

    #[test]
    fn what_is_good_in_a_file_counts_and_what_is_not_is_named() {
        let unknown = PollInterval::default().overridden_by(r#"{"open":1,"open_poll_interval":2}"#);
        assert_eq!(unknown.intervals.open.as_millis(), 2);
        assert_eq!(unknown.unknown_keys, ["open"]);
        assert!(unknown.wrong.is_empty());
        for wrong in ["-1", "1.5", "\"1\"", "1e3"] {
            let file = format!("{{\"open_poll_interval\":{wrong},\"strict_poll_interval\":3000}}");
            let read = PollInterval::default().overridden_by(&file);
            let intervals = [read.intervals.open, read.intervals.strict];
            assert_eq!(intervals, [20, 3].map(Duration::from_secs));
            let [error] = &read.wrong[..] else {
                panic!("one error: {read:?}")
            };
            let error = error.to_string();
            assert!(error.starts_with("open_poll_interval "), "{error}");
        }
        let rubbish = PollInterval::default().overridden_by("rubbish");
        assert_eq!(rubbish.intervals, PollInterval::default());
        assert_eq!(rubbish.wrong.len(), 1);
    }
}
