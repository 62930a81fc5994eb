//! Partial updates of a message: the fields in the update mask change or, without a mask,
//! the fields that are set (AIP-134, AIP-161).

use std::collections::BTreeMap;

use ipnet::IpNet;
use prost_types::FieldMask;
use serde::Serialize;
use tonic::Status;

use super::violations::Violations;
use crate::report::SettingsReport;

/// An update in progress, which collects all errors.
#[derive(Debug)]
pub(super) struct Update<'a> {
    message: &'static str,
    mask: &'a [String],
    changed: Vec<&'static str>,
    violations: Violations,
}

/// A mask that names all these fields, so that empty ones are set, too.
pub(super) fn all(fields: &[&str]) -> FieldMask {
    let paths = fields.iter().map(|&field| field.to_owned());
    FieldMask {
        paths: paths.collect(),
    }
}

impl<'a> Update<'a> {
    /// An update of the field `message` with these `fields`, each named like its setting.
    pub(super) fn new(message: &'static str, fields: &[&str], mask: Option<&'a FieldMask>) -> Self {
        let mask = mask.map_or(&[][..], |mask| &mask.paths);
        let mut violations = Violations::default();
        for path in mask.iter().filter(|path| *path != "*") {
            if !fields.contains(&path.as_str()) {
                let problem = format!("unknown path {path:?}, there are: {}", fields.join(", "));
                violations.add("update_mask", problem);
            }
        }
        Self {
            message,
            mask,
            changed: Vec::new(),
            violations,
        }
    }

    /// Updates a setting, if its field is to change and is valid.
    pub(super) fn set<T, U>(
        &mut self,
        field: &'static str,
        sent: Option<T>,
        read: impl FnOnce(T) -> Result<U, String>,
        setting: &mut U,
    ) {
        let is_wildcard = self.names("*");
        let is_named = self.names(field);
        match sent.map(read) {
            Some(read) if is_named || is_wildcard || self.mask.is_empty() => match read {
                Ok(new) => {
                    *setting = new;
                    self.changed.push(field);
                }
                Err(problem) => self.add(field, problem),
            },
            None if is_named && !is_wildcard => {
                self.add(
                    field,
                    "must be set, because update_mask names it".to_owned(),
                );
            }
            _ => {}
        }
    }

    /// Updates a setting that may be unset. An absent field unsets it if the mask names the
    /// field.
    pub(super) fn set_optional<T>(
        &mut self,
        field: &'static str,
        sent: Option<T>,
        setting: &mut Option<T>,
    ) {
        let sent = (sent.is_some() || self.names(field)).then_some(sent);
        self.set(field, sent, Ok, setting);
    }

    /// Updates a list. An empty list counts only if the mask names the field.
    pub(super) fn set_list<S, T, L: FromIterator<T>>(
        &mut self,
        field: &'static str,
        sent: &[S],
        read: impl FnMut(&S) -> Result<T, String>,
        setting: &mut L,
    ) {
        let sent = (!sent.is_empty() || self.names(field)).then_some(sent);
        let read = |sent: &[S]| sent.iter().map(read).collect();
        self.set(field, sent, read, setting);
    }

    fn names(&self, field: &str) -> bool {
        self.mask.iter().any(|path| path == field)
    }

    fn add(&mut self, field: &str, problem: String) {
        self.violations
            .add(format!("{}.{field}", self.message), problem);
    }

    /// Ends an update of values that are no settings, each checked when it was read.
    ///
    /// # Errors
    /// Returns all errors in the update.
    pub(super) fn finish_checked(self) -> Result<(), Status> {
        self.violations.into_result()
    }

    /// Checks the changed settings by the rules of the configuration. Returns the changed
    /// keys of the section, with their values as in a TOML file; empty if unset. Unchanged
    /// settings are not checked.
    ///
    /// # Errors
    /// Returns all errors in the update.
    pub(super) fn finish<S: Serialize>(
        mut self,
        section: &str,
        settings: &S,
        check: fn(&S, &mut SettingsReport),
    ) -> Result<BTreeMap<String, String>, Status> {
        let mut report = SettingsReport::default();
        check(settings, &mut report);
        for issue in report.errors {
            let Some(key) = issue.keys.first() else {
                continue;
            };
            let (field, entry) = split(key);
            if self.changed.contains(&field) {
                let entry = entry.map_or_else(String::new, |entry| format!("{entry}: "));
                self.add(field, format!("{entry}{issue}"));
            }
        }
        self.violations.into_result()?;
        let tree =
            toml::Table::try_from(settings).map_err(|error| Status::internal(error.to_string()))?;
        let changed = self.changed.into_iter();
        let value = |key| tree.get(key).map(ToString::to_string).unwrap_or_default();
        let written = changed.map(|key| (format!("{section}.{key}"), value(key)));
        Ok(written.collect())
    }
}

/// The field of a key, and the entry in it: `networks` and `192.0.2.0/24`.
fn split(key: &str) -> (&str, Option<&str>) {
    match key.split_once('.') {
        Some((field, entry)) => (field, Some(entry)),
        None => (key, None),
    }
}

/// Reads a network.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse();
    network.map_err(|_| format!("must be a network, such as 192.0.2.0/24, not {text:?}"))
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize)]
    struct TestIntervals {
        open: u32,
        strict: u32,
    }

    impl TestIntervals {
        fn check(&self, report: &mut SettingsReport) {
            report.within("open", self.open, &(0..=9));
            report.within("strict", self.strict, &(0..=9));
        }
    }

    fn changed(
        paths: &[&str],
        open: Option<u32>,
        strict: Option<u32>,
    ) -> Result<[Option<u32>; 2], Status> {
        let mask = FieldMask {
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
        };
        let mut update = Update::new("intervals", &["open", "strict"], Some(&mask));
        let mut intervals = TestIntervals::default();
        update.set("open", open, Ok, &mut intervals.open);
        update.set("strict", strict, Ok, &mut intervals.strict);
        let overrides = update.finish("interval", &intervals, TestIntervals::check)?;
        let written = |key| overrides.get(key).map(|value| value.parse().unwrap());
        Ok(["interval.open", "interval.strict"].map(written))
    }

    fn problem(result: Result<[Option<u32>; 2], Status>) -> String {
        let status = result.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        status.message().to_owned()
    }

    #[test]
    fn the_mask_says_what_changes() {
        assert_eq!(changed(&[], Some(1), None).unwrap(), [Some(1), None]);
        assert_eq!(
            changed(&["strict"], Some(1), Some(2)).unwrap(),
            [None, Some(2)]
        );
        assert_eq!(changed(&["*"], Some(1), None).unwrap(), [Some(1), None]);
    }

    #[test]
    fn everything_wrong_is_named() {
        let wrong = problem(changed(&[], Some(10), Some(11)));
        assert_eq!(
            wrong,
            "intervals.open: must be between 0 and 9 (got 10); \
             intervals.strict: must be between 0 and 9 (got 11)"
        );
        let wrong = problem(changed(&["closed"], None, None));
        assert_eq!(
            wrong,
            "update_mask: unknown path \"closed\", there are: open, strict"
        );
        let wrong = problem(changed(&["open"], None, None));
        assert_eq!(
            wrong,
            "intervals.open: must be set, because update_mask names it"
        );
    }

    #[test]
    fn what_does_not_change_is_not_checked() {
        assert_eq!(
            changed(&["open"], Some(1), Some(99)).unwrap(),
            [Some(1), None]
        );
    }
}
