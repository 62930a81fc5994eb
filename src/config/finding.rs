//! Findings about a key: its path, its value, the source of the value and the problem.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::secrets::{is_secret, may_be_secret, without_url_secrets};
use crate::causes::one_line;

/// The layer that a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingSource {
    /// No layer set the value.
    Default,
    /// A configuration file, with the line if known.
    File(PathBuf, Option<usize>),
    /// The environment variable with this name.
    Variable(String),
    /// The flag with this name, without dashes.
    Flag(String),
}

impl fmt::Display for SettingSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(path, Some(line)) => write!(formatter, "{} line {line}", path.display()),
            Self::File(path, None) => write!(formatter, "{}", path.display()),
            Self::Variable(name) => write!(formatter, "variable {name}"),
            Self::Flag(name) => write!(formatter, "flag --{name}"),
        }
    }
}

/// The source of each key's value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    keys: BTreeMap<String, WrittenValue>,
    /// The places of tables in lists, by key and name.
    entries: BTreeMap<String, SettingSource>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct WrittenValue {
    source: SettingSource,
    written: String,
}

impl Origins {
    /// The source of a key's value; the key is written like `matching.client_timeout`. An
    /// entry of a table, such as `supply.networks.192.0.2.0/24`, is from where the table is,
    /// and a key of a named table in a list from where that table begins.
    pub fn of(&self, key: &str) -> &SettingSource {
        let written = self.place_of(key).or_else(|| self.table_of(key));
        written.unwrap_or(&SettingSource::Default)
    }

    fn table_of(&self, key: &str) -> Option<&SettingSource> {
        let dots = key.match_indices('.').rev();
        let mut tables = dots.map(|(dot, _)| &key[..dot]);
        tables.find_map(|table| self.place_of(table))
    }

    fn place_of(&self, key: &str) -> Option<&SettingSource> {
        let written = self.keys.get(key).map(|origin| &origin.source);
        written.or_else(|| self.entries.get(key))
    }

    /// The secret keys that are set, and their sources.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &SettingSource)> {
        let origins = self.keys.iter().filter(|(key, _)| is_secret(key));
        origins.map(|(key, origin)| (&**key, &origin.source))
    }

    /// The value as written; `None` if the key is not set.
    pub(super) fn written(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(|origin| origin.written.as_str())
    }

    /// The keys whose written value contains this text.
    pub(super) fn written_with(&self, part: &str) -> impl Iterator<Item = &str> {
        let keys = self
            .keys
            .iter()
            .filter(move |(_, origin)| origin.written.contains(part));
        keys.map(|(key, _)| key.as_str())
    }

    pub(super) fn record(&mut self, key: String, written: String, source: SettingSource) {
        self.keys.insert(key, WrittenValue { source, written });
    }

    /// Records the places of the tables in a list, which a higher layer replaces.
    pub(super) fn record_entries<'a>(
        &mut self,
        list: &str,
        named: impl Iterator<Item = (&'a str, &'a SettingSource)>,
    ) {
        let prefix = format!("{list}.");
        self.entries.retain(|entry, _| !entry.starts_with(&prefix));
        let places = named.map(|(name, source)| (format!("{prefix}{name}"), source.clone()));
        self.entries.extend(places);
    }
}

/// An invalid or doubtful key. Displayed as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The path of the key, such as `matching.client_timeout`; `None` if the finding
    /// concerns the whole file.
    pub key: Option<String>,
    /// The value as written, which is hidden if it may be secret; `None` if there is no
    /// value.
    pub value: Option<String>,
    /// The source of the value.
    pub source: SettingSource,
    /// The problem, in words that follow the key.
    pub problem: String,
}

/// The beginning of PEM texts, which include private keys. No path begins like this.
pub(super) const PEM: &str = "-----BEGIN ";
const NOT_SHOWN: &str = "(a PEM text, not shown)";

/// The beginning of problems about an unknown key, section or variable, or an unknown key
/// in a table.
pub(super) const UNKNOWN: &str = "unknown ";

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The problem may repeat part of the value.
        let problem = without_url_secrets("", &self.problem);
        let problem = without_pem(&one_line(&problem));
        let Some(key) = &self.key else {
            return write!(formatter, "{}: {problem}", self.source);
        };
        write!(formatter, "{}: {problem}", one_line(key))?;
        match (self.shown_value(key), &self.source) {
            (Some(value), SettingSource::Default) => write!(formatter, " (default {value})"),
            (Some(value), source) => write!(formatter, " (got {value}, {source})"),
            (None, SettingSource::Default) => Ok(()),
            (None, source) => write!(formatter, " ({source})"),
        }
    }
}

impl Finding {
    /// The value as it may be shown. That of an unknown key is left out: it is not at
    /// fault, and may be a secret under a mistyped name.
    fn shown_value(&self, key: &str) -> Option<String> {
        let is_shown = !self.problem.starts_with(UNKNOWN) && !may_be_secret(key);
        let value = self.value.as_deref().filter(|_| is_shown)?;
        if value.contains(PEM) {
            return Some(NOT_SHOWN.to_owned());
        }
        Some(one_line(&without_url_secrets(key, value)))
    }
}

/// The text up to the beginning of a PEM text, which may be a private key.
fn without_pem(text: &str) -> String {
    match text.split_once(PEM) {
        Some((before, _)) => format!("{before}{NOT_SHOWN}"),
        None => text.to_owned(),
    }
}

/// The reasons why the configuration is invalid: every invalid key, one per line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct ConfigErrors(pub Vec<Finding>);

fn lines(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
