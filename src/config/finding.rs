//! Findings about a key: its path, its value, where that came from and
//! what is the matter with it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::secrets::{is_secret, may_be_secret, without_any_url_secrets, without_url_secrets};

/// The layer that a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingSource {
    /// Nobody set it.
    Default,
    /// The configuration file, with the line where one is known.
    File(PathBuf, Option<usize>),
    /// The environment variable of this name.
    Variable(String),
    /// The flag of this name, without dashes.
    Flag(String),
}

impl fmt::Display for SettingSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(path, Some(line)) => {
                write!(formatter, "file {}, line {line}", path.display())
            }
            Self::File(path, None) => write!(formatter, "file {}", path.display()),
            Self::Variable(name) => write!(formatter, "variable {name}"),
            Self::Flag(name) => write!(formatter, "flag --{name}"),
        }
    }
}

/// The source of the value of every key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, WrittenValue>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct WrittenValue {
    source: SettingSource,
    written: String,
}

impl Origins {
    /// The source of the value of the key, such as `matching.client_timeout`.
    pub fn of(&self, key: &str) -> &SettingSource {
        self.0
            .get(key)
            .map_or(&SettingSource::Default, |origin| &origin.source)
    }

    /// The secret keys that somebody has set, and where.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &SettingSource)> {
        let origins = self.0.iter().filter(|(key, _)| is_secret(key));
        origins.map(|(key, origin)| (&**key, &origin.source))
    }

    /// The value as somebody wrote it; none if nobody did.
    pub(super) fn written(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|origin| origin.written.as_str())
    }

    /// The keys for which somebody wrote this.
    pub(super) fn written_with(&self, part: &str) -> impl Iterator<Item = &str> {
        let keys = self
            .0
            .iter()
            .filter(move |(_, origin)| origin.written.contains(part));
        keys.map(|(key, _)| key.as_str())
    }

    pub(super) fn record(&mut self, key: String, written: String, source: SettingSource) {
        self.0.insert(key, WrittenValue { source, written });
    }
}

/// One wrong or doubtful key. Displays as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The path of the key, such as `matching.client_timeout`; none where the
    /// whole file is meant.
    pub key: Option<String>,
    /// Its value as it was written, which is not shown if it may be secret; none where
    /// there is none.
    pub value: Option<String>,
    /// The source of the value.
    pub source: SettingSource,
    /// The fault, in words that follow the key.
    pub problem: String,
}

/// The beginning of PEM texts, among them private keys. No path has it.
pub(super) const PEM: &str = "-----BEGIN ";
const NOT_SHOWN: &str = "(a PEM text, not shown)";

/// The beginning of problems where there is no such key, section or variable, or no
/// such key in a table of the value.
const UNKNOWN: &str = "unknown ";

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It may repeat a part of the value.
        let problem = without_url_secrets("", &self.problem);
        let problem = without_pem(&one_line(&problem));
        let Some(key) = &self.key else {
            return write!(formatter, "{}: {problem}", self.source);
        };
        formatter.write_str(&one_line(key))?;
        let is_unknown = self.problem.starts_with(UNKNOWN);
        let value = self.value.as_deref();
        let shown = value.filter(|_| !may_be_secret(key, is_unknown));
        match (shown, &self.source) {
            (Some(value), source) if value.contains(PEM) => {
                write!(formatter, " = {NOT_SHOWN} ({source})")?;
            }
            (Some(value), source) => {
                let value = if is_unknown {
                    without_any_url_secrets(value)
                } else {
                    without_url_secrets(key, value)
                };
                write!(formatter, " = {} ({source})", one_line(&value))?;
            }
            (None, SettingSource::Default) => formatter.write_str(" (not set)")?,
            (None, source) => write!(formatter, " ({source})")?,
        }
        write!(formatter, ": {problem}")
    }
}

/// The text up to where a PEM text begins, which may be a private key.
fn without_pem(text: &str) -> String {
    match text.split_once(PEM) {
        Some((before, _)) => format!("{before}{NOT_SHOWN}"),
        None => text.to_owned(),
    }
}

/// The reasons why there is no configuration: every wrong key, one a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct ConfigErrors(pub Vec<Finding>);

fn lines(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Text that is not ours may hold anything, also what a terminal obeys.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}
