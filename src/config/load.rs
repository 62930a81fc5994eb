//! From the layers to one configuration, or to everything wrong with them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::Kind;
use figment::providers::Serialized;
use figment::value::Value;

use super::finding::{ConfigErrors, Finding, Origins, SettingSource};
use super::layers::{self, Flag, Given};
use super::schema::{Config, extract, keys_of, unknown_section};
use super::{file, otel_variables, rules};

/// The layers that a configuration is made from.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// The files that were asked for, each over those before it: they have to be
    /// there.
    pub files: Vec<PathBuf>,
    /// The file that is read when none was asked for, if it is there.
    pub default_file: PathBuf,
    /// The environment. Names that begin neither with `SNOWFLAKE_BROKER_` nor
    /// with `OTEL_` are not looked at.
    pub environment: Vec<(OsString, OsString)>,
    /// The flags that were given; of two for one key the later counts.
    pub flags: Vec<Flag>,
    /// True if the files that keys name are on another machine: here they are
    /// not looked for.
    pub named_files_are_elsewhere: bool,
}

/// A configuration that can be served.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The findings that an operator should know of and the broker can live with.
    pub warnings: Vec<Finding>,
    /// The source of each value.
    pub origins: Origins,
}

/// Reads all layers and checks them. Looks at the file system only for the
/// configuration files and for whether the geoip files exist.
///
/// # Errors
/// Every wrong key of every layer, also one that a higher layer overrides.
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

/// The part of the layers that can be read, without the checks, and the findings about the
/// rest: for who does not serve them but looks for a broker that does.
pub fn glance(inputs: &Inputs) -> (Config, Vec<Finding>) {
    let mut wrong = Vec::new();
    let given = all_layers(inputs, &mut wrong);
    let config = merge(given, &mut wrong).map_or_else(|_| Config::default(), |(config, _)| config);
    (config, wrong)
}

/// All given values, the lowest layer first.
fn all_layers(inputs: &Inputs, wrong: &mut Vec<Finding>) -> Vec<Given> {
    let mut given = file::read(&inputs.files, &inputs.default_file, wrong);
    given.extend(otel_variables::variables(&inputs.environment));
    given.extend(layers::variables(&inputs.environment, wrong));
    given.extend(layers::flags(&inputs.flags));
    given
}

/// Lays the values that fit their keys over the defaults.
fn merge(given: Vec<Given>, wrong: &mut Vec<Finding>) -> Result<(Config, Origins), ConfigErrors> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    let mut origins = Origins::default();
    for given in given {
        match fit(&given) {
            Ok(value) => {
                figment = figment.merge((given.key.as_str(), value));
                origins.record(given.key, given.shown, given.source);
            }
            Err(problem) => wrong.push(given.finding(problem)),
        }
    }
    match extract(&figment) {
        Ok(config) => Ok((config, origins)),
        // Each value fits by itself and keys do not depend on each other, so
        // this is only for a type to come that breaks the rule.
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

/// The first reading that the key can have, or what is wrong with the first.
fn fit(given: &Given) -> Result<&Value, String> {
    let (section, name) = given.key.rsplit_once('.').unwrap_or((&given.key, ""));
    let Some(keys) = keys_of(section) else {
        return Err(unknown_section());
    };
    if !keys.contains(&name) {
        return Err(format!("unknown key, there are: {}", keys.join(", ")));
    }
    let mut refused = String::new();
    for value in &given.readings {
        match extract(&Figment::from((given.key.as_str(), value))) {
            Ok(_) => return Ok(value),
            Err(error) if refused.is_empty() => refused = problem(&error.kind),
            Err(_) => {}
        }
    }
    Err(refused)
}

/// The expectation, in an operator's words and without the value, which the
/// finding shows already.
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
            format!("expected {expected}")
        }
        Kind::UnknownVariant(_, known) => format!("expected {}", one_of(known)),
        Kind::UnknownField(name, known) => {
            format!("unknown key {name}, there are: {}", known.join(", "))
        }
        Kind::MissingField(name) => format!("{name} is missing"),
        Kind::DuplicateField(name) => format!("{name} is there twice"),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => "is out of range".to_owned(),
        other => other.to_string().replace('`', "\""),
    }
}

/// `a`, `a or b`, `a, b or c`.
fn one_of(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}
