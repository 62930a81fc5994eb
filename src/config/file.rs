//! The configuration layers from TOML files.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use figment::value::{Empty, Value};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::causes::in_words;

use super::finding::{Finding, SettingSource};
use super::layers::{Entry, Given};
use super::schema;
use super::suggestion::{key_without_section, unknown_section};

/// The key that a list in place of a section stands for: `[[pools]]` is a table in `pools.list`.
const LIST: &str = "list";

/// Reads the requested files, lowest layer first, or else the default file if it exists.
/// A file that is unreadable or invalid TOML results in findings without a key.
pub(super) fn read(asked: &[PathBuf], default: &Path, findings: &mut Vec<Finding>) -> Vec<Given> {
    if asked.is_empty() {
        return read_one(default, false, findings);
    }
    let read = |path: &PathBuf| read_one(path, true, findings);
    asked.iter().flat_map(read).collect()
}

fn read_one(path: &Path, has_to_exist: bool, findings: &mut Vec<Finding>) -> Vec<Given> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text, findings),
        Err(error) if !has_to_exist && error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            findings.push(Finding {
                key: None,
                value: None,
                source: SettingSource::File(path.to_owned(), None),
                problem: format!("cannot be read: {}", in_words(&error)),
            });
            Vec::new()
        }
    }
}

fn parse(path: &Path, text: &str, findings: &mut Vec<Finding>) -> Vec<Given> {
    let file = File { path, text };
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let mut errors: Vec<Finding> = errors.iter().map(|error| file.syntax(error)).collect();
        // Further errors in the same line result from the first.
        errors.dedup_by(|later, first| later.source == first.source);
        findings.append(&mut errors);
        return Vec::new();
    }
    let mut given = Vec::new();
    for (name, section) in document.into_inner() {
        given.extend(file.section(name, section, findings));
    }
    given.sort_by_key(|(at, _)| *at);
    given.into_iter().map(|(_, given)| given).collect()
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

type Name<'a> = Spanned<std::borrow::Cow<'a, str>>;

impl<'a> File<'a> {
    fn section(
        &self,
        name: Name<'a>,
        section: Spanned<DeValue<'a>>,
        findings: &mut Vec<Finding>,
    ) -> Vec<(usize, Given)> {
        let at = name.span().start;
        let name = name.into_inner();
        let span = section.span();
        let shown = self.text[span.clone()].to_owned();
        let problem = match (section.into_inner(), schema::keys_of(&name)) {
            (DeValue::Table(keys), Some(_)) => return self.keys(&name, keys, findings),
            (list @ DeValue::Array(_), Some(keys)) if keys.contains(&LIST) => {
                let list = Spanned::new(span, list);
                let key = Spanned::new(at..at, LIST.into());
                return self.keys(&name, [(key, list)].into_iter().collect(), findings);
            }
            (_, Some(_)) => "must be a section, with keys of its own".to_owned(),
            (DeValue::Table(_), None) => unknown_section(&name),
            (_, None) => key_without_section(&name),
        };
        findings.push(Finding {
            key: Some(name.into_owned()),
            // The span of a table is that of its header: there is no value to show.
            value: Some(shown).filter(|shown| !shown.starts_with('[')),
            source: self.at(at),
            problem,
        });
        Vec::new()
    }

    fn keys(
        &self,
        section: &str,
        keys: DeTable<'a>,
        findings: &mut Vec<Finding>,
    ) -> Vec<(usize, Given)> {
        let mut given = Vec::new();
        for (name, value) in keys {
            let at = name.span().start;
            let key = format!("{section}.{}", name.into_inner());
            let (span, value) = (value.span(), value.into_inner());
            let shown = match &value {
                // The span may cover only the table's header.
                DeValue::Table(_) => "{ .. }",
                DeValue::Array(_) if is_header(&self.text[span.clone()]) => "[{ .. }]",
                _ => &self.text[span.clone()],
            };
            let shown = shown.to_owned();
            let source = self.at(at);
            let entries = self.entries(&value);
            let value = match value {
                DeValue::Table(keys) if schema::keys_of(&key).is_some() => {
                    given.extend(self.keys(&key, keys, findings));
                    continue;
                }
                value => Spanned::new(span, value),
            };
            match readings(value) {
                Ok(readings) => given.push((
                    at,
                    Given {
                        key,
                        shown,
                        readings,
                        source,
                        entries,
                    },
                )),
                Err(error) => findings.push(Finding {
                    key: Some(key),
                    value: Some(shown),
                    source,
                    problem: error.message().to_owned(),
                }),
            }
        }
        given
    }

    /// The tables in a list.
    fn entries(&self, value: &DeValue<'_>) -> Vec<Entry> {
        let list = value.as_array().into_iter().flatten();
        let tables = list.filter_map(|entry| Some((entry.span(), entry.get_ref().as_table()?)));
        let entries = tables.map(|(span, table)| Entry {
            name: table
                .get("name")
                .and_then(|name| name.get_ref().as_str())
                .map(str::to_owned),
            source: self.at(span.start),
        });
        entries.collect()
    }

    fn syntax(&self, error: &toml::de::Error) -> Finding {
        let start = error.span().map(|span| span.start);
        Finding {
            key: None,
            value: None,
            source: start.map_or_else(
                || SettingSource::File(self.path.to_owned(), None),
                |start| self.at(start),
            ),
            problem: error.message().replace('`', "\""),
        }
    }

    fn at(&self, offset: usize) -> SettingSource {
        let before = self.text.bytes().take(offset);
        let line = 1 + before.filter(|byte| *byte == b'\n').count();
        SettingSource::File(self.path.to_owned(), Some(line))
    }
}

/// Returns true if a list is written as tables, with headers such as `[[policy.rules]]`.
fn is_header(text: &str) -> bool {
    let name = text
        .strip_prefix("[[")
        .and_then(|rest| rest.strip_suffix("]]"));
    name.is_some_and(|name| !name.contains(['"', '\'', '[', ',']))
}

/// The possible values. As in other layers, the empty string unsets an optional key.
fn readings(value: Spanned<DeValue<'_>>) -> Result<Vec<Value>, toml::de::Error> {
    let value: Value = Deserialize::deserialize(value.into_deserializer())?;
    if value.as_str() == Some("") {
        return Ok(vec![Empty::None.into(), value]);
    }
    Ok(vec![value])
}
