//! Poll intervals by the type that a proxy says it is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::report::SettingsReport;
use crate::wire::proxy::TYPE_NAME_MAX;

use super::INTERVALS;

/// Maximum number of names: each poll is compared with all of them.
const NAMES_MAX: usize = 64;

/// Intervals by type: names, and prefixes of names that end with `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TypeIntervals(BTreeMap<String, Interval>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Interval(#[serde(with = "crate::timespan")] Duration);

impl TypeIntervals {
    /// Reports invalid names and intervals.
    pub(super) fn check(&self, report: &mut SettingsReport) {
        if self.0.len() > NAMES_MAX {
            let problem = format!("must have {NAMES_MAX} names or fewer, not {}", self.0.len());
            report.refuse(&["types"], problem);
        }
        for (name, interval) in &self.0 {
            let key = format!("types.{name}");
            report.within(&key, interval.0, &INTERVALS);
            let start = name.strip_suffix('*').unwrap_or(name);
            if start.contains('*') {
                report.refuse(&[&key], "must have * at its end only");
            }
            if name.is_empty() || start.len() > TYPE_NAME_MAX {
                let problem = format!("must be a name of 1 to {TYPE_NAME_MAX} bytes");
                report.refuse(&[&key], problem);
            }
        }
    }

    /// The interval of a type. The whole name comes first, then the longest prefix.
    pub fn of(&self, type_name: &str) -> Option<Duration> {
        let prefixes = self.0.iter().filter_map(|(name, interval)| {
            let prefix = name.strip_suffix('*')?;
            let fits = type_name.starts_with(prefix);
            fits.then_some((prefix.len(), interval))
        });
        let named = self.0.get(type_name).filter(|_| !type_name.ends_with('*'));
        let longest = || prefixes.max_by_key(|(length, _)| *length);
        let interval = named.or_else(|| longest().map(|(_, interval)| interval));
        interval.map(|interval| interval.0)
    }
}

impl<'a> FromIterator<(&'a str, Duration)> for TypeIntervals {
    fn from_iter<I: IntoIterator<Item = (&'a str, Duration)>>(intervals: I) -> Self {
        let intervals = intervals.into_iter();
        let named = intervals.map(|(name, interval)| (name.to_owned(), Interval(interval)));
        Self(named.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(intervals: &[(&'static str, u64)]) -> TypeIntervals {
        let minutes = |&(name, minutes)| (name, Duration::from_mins(minutes));
        intervals.iter().map(minutes).collect()
    }

    #[test]
    fn the_longest_match_wins_and_a_whole_name_above_all() {
        let types = minutes(&[
            ("*", 1),
            ("orbot-*", 2),
            ("orbot-a*", 3),
            ("orbot-android", 4),
            ("orbot-android*", 5),
        ]);
        for (name, expected) in [
            ("webext", 1),
            ("", 1),
            ("orbot", 1),
            ("orbot-", 2),
            ("orbot-ios", 2),
            ("orbot-a", 3),
            ("orbot-android", 4),
            ("orbot-android-2", 5),
            // A stranger's type is a name, never a pattern.
            ("orbot-*", 2),
        ] {
            assert_eq!(
                types.of(name),
                Some(Duration::from_mins(expected)),
                "{name}"
            );
        }
        assert_eq!(minutes(&[("orbot-*", 2)]).of("webext"), None);
        assert_eq!(TypeIntervals::default().of("webext"), None);
    }

    #[test]
    fn what_no_type_can_match_is_refused() {
        let problems = |types: &TypeIntervals| {
            let mut report = SettingsReport::default();
            types.check(&mut report);
            let problems = report.errors.iter();
            let told = problems.map(|issue| format!("{}: {issue}", issue.keys[0]));
            told.collect::<Vec<_>>()
        };
        let long = "a".repeat(TYPE_NAME_MAX + 1);
        let wrong = [
            ("", Duration::from_mins(1)),
            ("a*b", Duration::from_mins(1)),
            (&long, Duration::from_mins(1)),
            ("b", Duration::from_millis(1)),
        ];
        let wrong = problems(&wrong.into_iter().collect());
        assert_eq!(
            wrong,
            [
                "types.: must be a name of 1 to 64 bytes".to_owned(),
                "types.a*b: must have * at its end only".to_owned(),
                format!("types.{long}: must be a name of 1 to 64 bytes"),
                "types.b: must be between 1 s and 24 h (got 1 ms)".to_owned(),
            ]
        );
        let names: Vec<String> = (0..=NAMES_MAX).map(|number| number.to_string()).collect();
        let many = names.iter().map(|name| (&**name, Duration::from_mins(1)));
        assert_eq!(
            problems(&many.collect()),
            ["types: must have 64 names or fewer, not 65"]
        );
        assert_eq!(
            problems(&minutes(&[("*", 1), ("orbot-*", 1), ("bloco", 1)])),
            [""; 0]
        );
    }
}
