//! Merging of the layers into one configuration, or into a list of all errors.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::Kind;
use figment::providers::Serialized;
use figment::value::{Dict, Value};

use super::finding::{ConfigErrors, Finding, Origins, SettingSource};
use super::layers::{self, Flag, Given};
use super::schema::{Config, extract, keys_of};
use super::suggestion::{unknown_key, unknown_name, unknown_section};
use super::{file, otel_variables, rules};

/// The inputs of the configuration's layers.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The requested files, each overriding those before it. They must exist.
    pub files: Vec<PathBuf>,
    /// The file that is read if none is requested, if it exists.
    pub default_file: PathBuf,
    /// The environment. Only names that begin with `SNOWFLAKE_BROKER_` or `OTEL_` are
    /// examined.
    pub environment: Vec<(OsString, OsString)>,
    /// The flags. If a key has several, the last one counts.
    pub flags: Vec<Flag>,
    /// True if the files named in the configuration are on another machine, so that their
    /// existence is not checked here.
    pub named_files_are_elsewhere: bool,
}

impl Inputs {
    /// The configuration files that a load reads.
    pub fn files_that_are_read(&self) -> Vec<&Path> {
        if self.files.is_empty() {
            let default = Some(&*self.default_file).filter(|path| path.exists());
            return default.into_iter().collect();
        }
        self.files.iter().map(PathBuf::as_path).collect()
    }
}

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Findings that do not prevent the broker from running.
    pub warnings: Vec<Finding>,
    /// The source of each value.
    pub origins: Origins,
}

/// Reads and checks all layers. The only files that it touches are the configuration
/// files and the geoip files, whose existence it checks.
///
/// # Errors
/// Returns every invalid key in every layer, even if a higher layer overrides it.
pub fn load(inputs: &Inputs) -> Result<Loaded, ConfigErrors> {
    let mut wrong = Vec::new();
    let given = all_layers(inputs, &mut wrong);
    let (config, origins) = merge(given, &mut wrong)?;
    let exists = if inputs.named_files_are_elsewhere {
        |_: &Path| true
    } else {
        Path::exists
    };
    let mut warnings = Vec::new();
    rules::check(&config, &origins, exists, &mut wrong, &mut warnings);
    warnings.extend(otel_variables::ignored(&inputs.environment));
    if !wrong.is_empty() {
        return Err(ConfigErrors(wrong));
    }
    Ok(Loaded {
        config,
        warnings,
        origins,
    })
}

/// The readable part of the layers, without the checks, and the findings about the rest:
/// for programs that do not run a broker but contact one.
pub fn glance(inputs: &Inputs) -> (Config, Vec<Finding>) {
    let mut wrong = Vec::new();
    let given = all_layers(inputs, &mut wrong);
    let config = merge(given, &mut wrong).map_or_else(|_| Config::default(), |(config, _)| config);
    (config, wrong)
}

/// All given values, lowest layer first.
fn all_layers(inputs: &Inputs, wrong: &mut Vec<Finding>) -> Vec<Given> {
    let mut given = file::read(&inputs.files, &inputs.default_file, wrong);
    given.extend(otel_variables::variables(&inputs.environment));
    given.extend(layers::variables(&inputs.environment, wrong));
    given.extend(layers::flags(&inputs.flags));
    given
}

/// Merges the values that fit their keys into the defaults.
fn merge(given: Vec<Given>, wrong: &mut Vec<Finding>) -> Result<(Config, Origins), ConfigErrors> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    let mut origins = Origins::default();
    for given in given {
        match fit(&given) {
            Ok(value) => {
                figment = figment.merge((given.key.as_str(), value));
                let entries = given.entries.iter();
                let named =
                    entries.filter_map(|entry| Some((entry.name.as_deref()?, &entry.source)));
                origins.record_entries(&given.key, named);
                origins.record(given.key, given.shown, given.source);
            }
            Err(problem) => wrong.push(given.finding_in(wrong_entry(&given), problem)),
        }
    }
    match extract(&figment) {
        Ok(config) => Ok((config, origins)),
        // Each value fits on its own, and keys do not depend on each other. So this can
        // only happen with a future type that breaks this rule.
        Err(error) => {
            wrong.push(Finding {
                key: Some(error.path.join(".")),
                value: None,
                source: SettingSource::Default,
                problem: problem(&error.kind),
            });
            Err(ConfigErrors(std::mem::take(wrong)))
        }
    }
}

/// The first possible value that fits the key, or the problem of the first one.
fn fit(given: &Given) -> Result<&Value, String> {
    let (section, name) = given.key.rsplit_once('.').unwrap_or((&given.key, ""));
    let Some(keys) = keys_of(section) else {
        return Err(unknown_section(section));
    };
    if !keys.contains(&name) {
        return Err(unknown_key(section, name));
    }
    let mut refused = String::new();
    for value in &given.readings {
        match extract(&Figment::from((given.key.as_str(), value))) {
            Ok(_) => return Ok(value),
            Err(error) if refused.is_empty() => refused = located(&error, &given.key, value),
            Err(_) => {}
        }
    }
    Err(refused)
}

/// The place of the first table that does not fit, in a list of tables.
fn wrong_entry(given: &Given) -> Option<usize> {
    let entries = given.readings.iter().find_map(Value::as_array)?;
    let is_wrong = |entry: &Value| alone(&given.key, entry.clone()).is_err();
    entries.iter().position(is_wrong)
}

/// A key whose list has one entry.
fn alone(key: &str, entry: Value) -> Result<Config, Box<figment::Error>> {
    extract(&Figment::from((key, Value::from(vec![entry]))))
}

/// The problem, and the entry at fault if the key's value is a table, or a list of tables.
fn located(error: &figment::Error, key: &str, value: &Value) -> String {
    let problem = problem(&error.kind);
    let entry = error.path.get(key.split('.').count());
    let names_itself = matches!(
        error.kind,
        Kind::UnknownField(..) | Kind::MissingField(_) | Kind::DuplicateField(_)
    );
    let name = match value {
        Value::Dict(..) => entry.map(|entry| format!("{entry:?}")),
        Value::Array(_, entries) if !names_itself => wrong_name(key, entries),
        _ => None,
    };
    match name {
        Some(name) => format!("{name} {problem}"),
        None => problem,
    }
}

/// The name at fault in the first table that does not fit: an error in a list does not tell.
fn wrong_name(key: &str, entries: &[Value]) -> Option<String> {
    let is_wrong = |entry: &&Value| alone(key, (*entry).clone()).is_err();
    let table = entries.iter().find(is_wrong)?.as_dict()?;
    let name = at_fault(table, |rest| alone(key, rest.into()))?;
    let within = table
        .get(&name)
        .and_then(Value::as_dict)
        .and_then(|within| {
            at_fault(within, |rest| {
                let mut whole = table.clone();
                whole.insert(name.clone(), rest.into());
                alone(key, whole.into())
            })
        });
    Some(within.map_or_else(|| name.clone(), |within| format!("{name}.{within}")))
}

/// The name without which a table fits, or would only lack it.
fn at_fault(
    table: &Dict,
    fits: impl Fn(Dict) -> Result<Config, Box<figment::Error>>,
) -> Option<String> {
    let is_at_fault = |name: &&String| {
        let mut rest = table.clone();
        rest.remove(*name);
        let without = fits(rest);
        without.map_or_else(
            |error| matches!(&error.kind, Kind::MissingField(missing) if missing == *name),
            |_| true,
        )
    };
    table.keys().find(is_at_fault).cloned()
}

/// The expected kind of value, in an operator's words. The value itself is already in the
/// finding.
fn problem(kind: &Kind) -> String {
    match kind {
        Kind::InvalidType(_, expected)
        | Kind::InvalidValue(_, expected)
        | Kind::InvalidLength(_, expected) => {
            let expected = match expected.as_str() {
                "usize" | "u32" => "a whole number, 0 or more",
                "a nonzero u32" => "a whole number, 1 or more",
                "f64" => "a number",
                "a boolean" => "true or false",
                "path string" => "a path, as a string",
                "a sequence" => "a list",
                other if other.starts_with("struct ") => "a table",
                other if other.starts_with("enum ") => "a string",
                other => other,
            };
            format!("must be {expected}")
        }
        Kind::UnknownVariant(_, known) => format!("must be {}", one_of(known)),
        Kind::UnknownField(name, known) => unknown_name(name, known),
        Kind::MissingField(name) => format!("{name} is missing"),
        Kind::DuplicateField(name) => format!("{name} is set twice"),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => "is out of range".to_owned(),
        other => other.to_string().replace('`', "\""),
    }
}

/// Joins words as in `a`, `a or b`, `a, b or c`.
fn one_of(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}
