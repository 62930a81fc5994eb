//! The layers with plain-text values: environment and flags. A text alone does not reveal
//! whether it is a number or a word; that depends on the key. So a text stands for
//! several possible values, and the first one that fits the key is used.

use std::ffi::{OsStr, OsString};

use figment::value::{Empty, Value};

use super::finding::{Finding, SettingSource, UNKNOWN};
use super::suggestion::key_of_variable;

/// The prefix of our environment variables.
const PREFIX: &str = "SNOWFLAKE_BROKER_";

/// A flag on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The flag's name without dashes, for messages.
    pub name: String,
    /// The path of the key that the flag sets.
    pub key: String,
    /// The flag's value.
    pub text: String,
}

/// A value given for a key.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// The section and the name, joined by a dot.
    pub(super) key: String,
    /// The value as it was written.
    pub(super) shown: String,
    /// The possible values, likeliest first; never empty.
    pub(super) readings: Vec<Value>,
    pub(super) source: SettingSource,
    /// For a list of tables, each in a place of its own.
    pub(super) entries: Vec<Entry>,
}

/// A table in a list.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The value of its key `name`.
    pub(super) name: Option<String>,
    pub(super) source: SettingSource,
}

impl Given {
    pub(super) fn finding(&self, problem: String) -> Finding {
        Finding {
            key: Some(self.key.clone()),
            value: Some(self.shown.clone()),
            source: self.source.clone(),
            problem,
        }
    }

    /// The same about the table in this place of a list.
    pub(super) fn finding_in(&self, place: Option<usize>, problem: String) -> Finding {
        let Some(entry) = place.and_then(|place| self.entries.get(place)) else {
            return self.finding(problem);
        };
        let name = entry.name.as_ref().map(|name| format!(".{name}"));
        Finding {
            key: Some(format!("{}{}", self.key, name.unwrap_or_default())),
            value: None,
            source: entry.source.clone(),
            problem,
        }
    }
}

/// The values of our variables in the environment, sorted by name for a stable order of
/// messages.
pub(super) fn variables(
    environment: &[(OsString, OsString)],
    findings: &mut Vec<Finding>,
) -> Vec<Given> {
    let mut given = Vec::new();
    for (name, value) in environment {
        let name = name.to_string_lossy();
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        match variable(&name, rest, value) {
            Ok(value) => given.push(value),
            Err(finding) => findings.push(finding),
        }
    }
    given.sort_by(|one, other| one.key.cmp(&other.key));
    given
}

/// The values of the flags.
pub(super) fn flags(flags: &[Flag]) -> Vec<Given> {
    flags
        .iter()
        .map(|flag| {
            given(
                &flag.key,
                &flag.text,
                SettingSource::Flag(flag.name.clone()),
            )
        })
        .collect()
}

/// A text given for a key.
pub(super) fn given(key: &str, text: &str, source: SettingSource) -> Given {
    Given {
        key: key.to_owned(),
        shown: quoted(text),
        readings: readings(text),
        source,
        entries: Vec::new(),
    }
}

fn variable(name: &str, rest: &str, value: &OsStr) -> Result<Given, Finding> {
    let wrong = |problem: &str| Finding {
        key: Some(rest.to_ascii_lowercase().replace("__", ".")),
        value: Some(quoted(&value.to_string_lossy())),
        source: SettingSource::Variable(name.to_owned()),
        problem: problem.to_owned(),
    };
    if rest != rest.to_ascii_uppercase() {
        return Err(wrong(&unknown_variable(rest)));
    }
    let Some((section, key)) = rest.split_once("__") else {
        return Err(wrong(&unknown_variable(rest)));
    };
    let text = value.to_str().ok_or_else(|| wrong("must be UTF-8"))?;
    let key = format!("{section}.{key}")
        .to_ascii_lowercase()
        .replace("__", ".");
    Ok(given(&key, text, SettingSource::Variable(name.to_owned())))
}

fn unknown_variable(rest: &str) -> String {
    let meant = match key_of_variable(rest) {
        Some(key) => format!("did you mean {PREFIX}{}?", in_capitals(&key)),
        None => format!("the form is {PREFIX}SECTION__KEY, in upper case"),
    };
    format!("{UNKNOWN}variable, {meant}")
}

/// `LISTENER__ADDR` of `listener.addr`.
fn in_capitals(key: &str) -> String {
    key.to_ascii_uppercase().replace('.', "__")
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// The possible values of a text. An empty text unsets an optional key and empties a
/// list.
fn readings(text: &str) -> Vec<Value> {
    if text.is_empty() {
        return vec![Empty::None.into(), text.into(), Vec::<Value>::new().into()];
    }
    // Lists come first, since a key for a list may also accept a text as its only item.
    let mut readings: Vec<Value> = bracketed(text).into_iter().collect();
    readings.push(Value::from(text));
    readings.extend(truth(text).map(Value::from));
    readings.extend(text.parse::<u64>().map(Value::from));
    readings.extend(text.parse::<f64>().map(Value::from));
    readings.push(list(text));
    readings
}

/// The boolean literals of Go's `flag` package.
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A list or table in TOML or JSON syntax; `None` for any other text, such as `[::1]:80`.
fn bracketed(text: &str) -> Option<Value> {
    let text = text.trim();
    if !text.starts_with(['[', '{']) {
        return None;
    }
    let toml = text
        .parse::<toml::Value>()
        .ok()
        .filter(|value| value.is_array() || value.is_table());
    if let Some(list) = toml {
        return Value::serialize(list).ok();
    }
    let json = serde_json::from_str::<serde_json::Value>(text).ok()?;
    Value::serialize(json).ok()
}

fn list(text: &str) -> Value {
    let items = text.split(',').map(str::trim);
    items
        .filter(|item| !item.is_empty())
        .map(Value::from)
        .collect::<Vec<_>>()
        .into()
}
