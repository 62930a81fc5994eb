//! Settings of the metrics.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::counting::LabelledTypes;
use super::stats_log::ALWAYS;
use crate::report::{SPAN, SettingsReport};
use crate::wire::proxy::{ProxyType, ProxyTypes, TYPES_MAX};

/// The files of counts, and the intervals at which they are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The metrics log, which `/metrics` serves; without it, `/metrics` answers 404.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_log: Option<PathBuf>,
    /// The impact log; without it, none is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impact_log: Option<PathBuf>,
    /// The interval at which a block is appended to the metrics log, and a line to the
    /// impact log.
    #[serde(with = "crate::timespan")]
    pub metrics_interval: Duration,
    /// The directory in which the state of the current block survives a restart; created
    /// if missing. If unset, the state is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_directory: Option<PathBuf>,
    /// The interval at which the state is saved, and at which failed writes are retried.
    #[serde(with = "crate::timespan")]
    pub save_interval: Duration,
    /// The path prefix of the files with sketches of proxy addresses; if unset, there are
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_count_prefix: Option<PathBuf>,
    /// The interval at which sketches are written.
    #[serde(with = "crate::timespan")]
    pub ip_count_interval: Duration,
    /// The types of proxies that are told apart. All others are `unknown`.
    pub proxy_types: Vec<String>,
    /// The types among them with a line in the metrics log, besides the five that always
    /// have one.
    pub publish_types: Vec<String>,
}

/// Maximum length of a type's name, which is also a part of file names.
const NAME_MAX: usize = 32;
/// Names that already stand for something else in labels or in the metrics log.
const TAKEN: [&str; 2] = ["unknown", "total"];
const TAKEN_PREFIX: &str = "nat-";

impl Settings {
    /// Reports invalid settings.
    pub fn check(&self, report: &mut SettingsReport) {
        report.within("metrics_interval", self.metrics_interval, &SPAN);
        report.within("save_interval", self.save_interval, &SPAN);
        report.within("ip_count_interval", self.ip_count_interval, &SPAN);
        if self.impact_log.is_some() && self.impact_log == self.metrics_log {
            let keys = ["impact_log", "metrics_log"];
            report.refuse(&keys, "must be another file than metrics.metrics_log");
        }
        self.check_types(report);
    }

    fn check_types(&self, report: &mut SettingsReport) {
        let (types, published) = (&self.proxy_types, &self.publish_types);
        if types.len() > TYPES_MAX {
            let problem = format!("must have {TYPES_MAX} types or fewer, not {}", types.len());
            report.refuse(&["proxy_types"], problem);
        }
        for (index, name) in types.iter().enumerate() {
            let problem = if !is_name(name) {
                format!("of 1 to {NAME_MAX} letters, digits and hyphens")
            } else if TAKEN.contains(&&**name) || name.starts_with(TAKEN_PREFIX) {
                "that is not reserved".to_owned()
            } else if types[..index].contains(name) {
                "that is listed once".to_owned()
            } else {
                continue;
            };
            report.refuse(
                &["proxy_types"],
                format!("{name:?} must be a name {problem}"),
            );
        }
        for name in published.iter().filter(|name| !types.contains(name)) {
            let problem = format!("{name:?} must be in metrics.proxy_types");
            report.refuse(&["publish_types", "proxy_types"], problem);
        }
        let always = ALWAYS.map(ProxyType::as_str);
        for name in always
            .iter()
            .filter(|name| !types.iter().any(|listed| listed == *name))
        {
            let problem = format!("has no {name:?}, whose line in the metrics log stays at 0");
            report.warn(&["proxy_types"], problem);
        }
    }

    /// The types of proxies in the metrics.
    pub fn types(&self) -> LabelledTypes {
        let counted = ProxyTypes::new(self.proxy_types.iter().map(String::as_str));
        let published = self.publish_types.iter();
        LabelledTypes {
            published: published.filter_map(|name| counted.named(name)).collect(),
            counted,
        }
    }
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(fits)
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            metrics_log: None,
            impact_log: None,
            metrics_interval: Duration::from_hours(24),
            state_directory: None,
            save_interval: Duration::from_mins(1),
            ip_count_prefix: None,
            ip_count_interval: Duration::from_hours(1),
            proxy_types: ProxyTypes::default()
                .iter()
                .filter(|known| *known != ProxyType::UNKNOWN)
                .map(|known| known.to_string())
                .collect(),
            publish_types: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(types: &[&str], published: &[&str]) -> (Vec<String>, usize) {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let settings = Settings {
            proxy_types: owned(types),
            publish_types: owned(published),
            ..Settings::default()
        };
        let mut report = SettingsReport::default();
        settings.check(&mut report);
        let errors = report.errors.iter();
        let errors = errors.map(|issue| format!("{}: {issue}", issue.keys[0]));
        (errors.collect(), report.warnings.len())
    }

    #[test]
    fn wrong_types_are_named() {
        assert_eq!(
            told(&ALWAYS.map(ProxyType::as_str), &["webext"]),
            (vec![], 0)
        );
        let long = "x".repeat(33);
        let types = ["a b", "", &long, "unknown", "nat-open", "my-app", "my-app"];
        let (errors, warnings) = told(&types, &["your-app"]);
        let form = "must be a name of 1 to 32 letters, digits and hyphens";
        assert_eq!(
            errors,
            [
                format!("proxy_types: \"a b\" {form}"),
                format!("proxy_types: \"\" {form}"),
                format!("proxy_types: \"{long}\" {form}"),
                "proxy_types: \"unknown\" must be a name that is not reserved".to_owned(),
                "proxy_types: \"nat-open\" must be a name that is not reserved".to_owned(),
                "proxy_types: \"my-app\" must be a name that is listed once".to_owned(),
                "publish_types: \"your-app\" must be in metrics.proxy_types".to_owned(),
            ]
        );
        assert_eq!(warnings, 5, "each type that always has a line");
        let many: Vec<String> = (0..17).map(|number| number.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(told(&many[..16], &[]).0, [""; 0]);
        assert_eq!(
            told(&many, &[]).0,
            ["proxy_types: must have 16 types or fewer, not 17"]
        );
    }

    #[test]
    fn the_logs_are_two_files() {
        let settings = Settings {
            metrics_log: Some("log".into()),
            impact_log: Some("log".into()),
            ..Settings::default()
        };
        let mut report = SettingsReport::default();
        settings.check(&mut report);
        let [issue] = &*report.errors else {
            panic!("{report:?}")
        };
        assert_eq!(issue.keys, ["impact_log", "metrics_log"]);
    }

    #[test]
    fn the_types_of_the_metrics_are_those_listed() {
        let settings = Settings {
            proxy_types: vec!["webext".to_owned(), "my-app".to_owned()],
            publish_types: vec!["my-app".to_owned()],
            ..Settings::default()
        };
        let types = settings.types();
        let names = types.counted.iter().map(ProxyType::as_str);
        assert_eq!(names.collect::<Vec<_>>(), ["my-app", "webext", "unknown"]);
        let published = types.published.iter().map(|known| known.as_str());
        assert_eq!(published.collect::<Vec<_>>(), ["my-app"]);
        assert_eq!(Settings::default().types().counted, ProxyTypes::default());
    }
}
