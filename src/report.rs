//! Findings of settings checks. Each component checks its own settings, with their bounds
//! beside them; the configuration adds a value's origin, and the administration the field
//! of a request.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

/// Maximum size of a table: far below memory limits, and within TOML's integers.
pub const COUNT_MAX: usize = 100_000_000;
/// Maximum time span, a year: adding it to a point in time cannot overflow.
pub const SPAN_MAX: Duration = Duration::from_hours(365 * 24);
/// The bounds of nonzero time spans.
pub const SPAN: RangeInclusive<Duration> = Duration::from_nanos(1)..=SPAN_MAX;
/// The bounds of time spans that may be zero.
pub const SPAN_OR_ZERO: RangeInclusive<Duration> = Duration::ZERO..=SPAN_MAX;

/// The findings so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsReport {
    /// The section being checked, followed by a dot; empty outside of any section.
    prefix: String,
    /// The values that cannot be used.
    pub errors: Vec<SettingIssue>,
    /// The values that can be used but that the operator should know of.
    pub warnings: Vec<SettingIssue>,
}

/// An invalid or doubtful setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingIssue {
    /// The keys involved, with their sections, such as `tls.cert`. The first is the one
    /// to change.
    pub keys: Vec<String>,
    /// The problem, in words that follow the key's name.
    pub problem: String,
    /// The value, if it is out of bounds.
    pub got: Option<String>,
}

impl SettingsReport {
    /// Checks a section. `check` names keys without the section.
    pub fn section(&mut self, name: &str, check: impl FnOnce(&mut Self)) {
        let outer = self.prefix.clone();
        self.prefix = format!("{outer}{name}.");
        check(self);
        self.prefix = outer;
    }

    /// Reports the first key as invalid, given the values of the others.
    pub fn refuse(&mut self, keys: &[&str], problem: impl Into<String>) {
        let issue = self.issue(keys, problem.into(), None);
        self.errors.push(issue);
    }

    /// Reports the first key as doubtful, given the values of the others.
    pub fn warn(&mut self, keys: &[&str], problem: impl Into<String>) {
        let issue = self.issue(keys, problem.into(), None);
        self.warnings.push(issue);
    }

    /// Reports a value that is out of bounds.
    pub fn within<T: Bounded>(&mut self, key: &str, got: T, bounds: &RangeInclusive<T>) {
        if !bounds.contains(&got) {
            let (least, most) = (bounds.start().shown(), bounds.end().shown());
            let problem = format!("must be between {least} and {most}");
            let issue = self.issue(&[key], problem, Some(got.shown()));
            self.errors.push(issue);
        }
    }

    /// Reports a network of IPv4 addresses that is written as one of IPv6 as doubtful:
    /// addresses are compared as IPv4, so nobody is in it.
    pub fn networks<'a>(&mut self, key: &str, networks: impl IntoIterator<Item = &'a IpNet>) {
        let is_mapped = |network: &&IpNet| {
            matches!(network, IpNet::V6(network)
                if network.prefix_len() >= 96 && network.addr().to_ipv4_mapped().is_some())
        };
        if let Some(mapped) = networks.into_iter().find(is_mapped) {
            let problem = format!("has {mapped}, in which nobody is: write it as IPv4");
            self.warn(&[key], problem);
        }
    }

    /// Reports a value's problem, if it has one.
    pub fn refuse_if(&mut self, key: &str, problem: Option<impl Into<String>>) {
        if let Some(problem) = problem {
            self.refuse(&[key], problem);
        }
    }

    fn issue(&self, keys: &[&str], problem: String, got: Option<String>) -> SettingIssue {
        SettingIssue {
            keys: keys
                .iter()
                .map(|key| format!("{}{key}", self.prefix))
                .collect(),
            problem,
            got,
        }
    }
}

/// Displays the problem and the value.
impl fmt::Display for SettingIssue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.problem)?;
        match &self.got {
            Some(got) => write!(formatter, " (got {got})"),
            None => Ok(()),
        }
    }
}

/// A value that can have bounds.
pub trait Bounded: Copy + PartialOrd {
    /// The value with its unit, as people write it, such as `24 h`.
    fn shown(&self) -> String;
}

impl Bounded for usize {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Bounded for u32 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Bounded for f64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Bounded for Duration {
    /// Uses the largest unit of which the span is a whole multiple; a day is `24 h`.
    fn shown(&self) -> String {
        const UNITS: [(&str, u128, u128); 7] = [
            ("days", 86_400_000_000_000, 2),
            ("h", 3_600_000_000_000, 1),
            ("min", 60_000_000_000, 1),
            ("s", 1_000_000_000, 1),
            ("ms", 1_000_000, 1),
            ("\u{b5}s", 1_000, 1),
            ("ns", 1, 1),
        ];
        let nanos = self.as_nanos();
        let fits = |(_, unit, least): &&(_, u128, u128)| {
            nanos.is_multiple_of(*unit) && nanos / unit >= *least
        };
        let unit = UNITS.iter().find(fits);
        unit.map_or("0 s".to_owned(), |(name, unit, _)| {
            format!("{} {name}", nanos / unit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_nobody_is_in_is_doubtful() {
        for (network, is_doubtful) in [
            ("::ffff:192.0.2.0/120", true),
            ("::ffff:192.0.2.7/128", true),
            ("192.0.2.0/24", false),
            ("2001:db8::/32", false),
            ("::/0", false),
        ] {
            let mut report = SettingsReport::default();
            report.networks("exempt", &[network.parse().unwrap()]);
            assert_eq!(report.warnings.is_empty(), !is_doubtful, "{network}");
            assert_eq!(report.errors, [], "{network}");
        }
    }

    #[test]
    fn a_value_out_of_its_bounds_is_reported_with_them() {
        let mut report = SettingsReport::default();
        report.section("a", |report| {
            report.within("b", Duration::from_millis(1), &SPAN);
            report.within("c", 3_usize, &(1..=2));
            report.section("d", |report| report.refuse(&["e", "f"], "no"));
            report.within("g", f64::NAN, &(0.0..=1.0));
        });
        let told: Vec<_> = report
            .errors
            .iter()
            .map(|issue| (issue.keys.join(","), &*issue.problem, issue.got.as_deref()))
            .collect();
        let expected = [
            ("a.c", "must be between 1 and 2", Some("3")),
            ("a.d.e,a.d.f", "no", None),
            ("a.g", "must be between 0 and 1", Some("NaN")),
        ];
        assert_eq!(
            told,
            expected.map(|(keys, problem, got)| (keys.to_owned(), problem, got))
        );
    }

    #[test]
    fn spans_have_the_largest_unit() {
        for (span, shown) in [
            (Duration::ZERO, "0 s"),
            (Duration::from_nanos(1), "1 ns"),
            (Duration::from_micros(1_500), "1500 \u{b5}s"),
            (Duration::from_millis(1), "1 ms"),
            (Duration::from_secs(90), "90 s"),
            (Duration::from_hours(1), "1 h"),
            (Duration::from_hours(24), "24 h"),
            (SPAN_MAX, "365 days"),
        ] {
            assert_eq!(span.shown(), shown);
        }
    }
}
