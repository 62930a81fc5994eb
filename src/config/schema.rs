//! The tree of all settings, and the names of its sections and keys.

use figment::error::Kind;
use figment::{Error, Figment};
use serde::{Deserialize, Serialize};

use super::secrets::hide;

/// Every setting. A section is the settings of one module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The address at which connections are taken, and their limits.
    pub listener: crate::listener::Settings,
    /// The certificate from files, or none.
    pub tls: crate::tls::Settings,
    /// The certificate by ACME.
    pub acme: crate::tls::acme::Settings,
    /// Limits and origins of requests.
    pub http: crate::http::Settings,
    /// Bridges and the proxies that may serve them.
    pub broker: crate::broker::Settings,
    /// The intervals at which proxies poll.
    pub poll_interval: crate::broker::PollInterval,
    /// Limits of the requests of one address.
    pub limits: crate::broker::limits::Settings,
    /// Patience and bounds of the matching engine.
    pub matching: crate::matching::Settings,
    /// The country databases.
    pub geoip: crate::geoip::Settings,
    /// Files of counts.
    pub metrics: crate::metrics::Settings,
    /// The log.
    pub telemetry: crate::telemetry::Settings,
    /// Exports to OpenTelemetry collectors.
    pub otel: crate::telemetry::otel::Settings,
    /// The addresses for operators that come by HTTP.
    pub operator: crate::http::operator::Settings,
    /// The administration by gRPC.
    pub admin: crate::grpc::settings::Settings,
    /// Brokers that lend each other proxies.
    pub federation: crate::federation::Settings,
    /// The queues that clients may write to.
    pub sqs: crate::sqs::Settings,
}

impl Config {
    /// The configuration as a TOML file that [`super::load()`] reads back to the same.
    /// Optional keys that are not set are left out: TOML has no word for it.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// The same without what is secret in it, and the keys that it was left out of.
    pub fn to_toml_without_secrets(&self) -> Result<(String, Vec<String>), toml::ser::Error> {
        let mut tree = toml::Table::try_from(self)?;
        let hidden = hide(&mut tree);
        Ok((toml::to_string(&tree)?, hidden))
    }

    /// Every key in alphabetical order, such as `admin.tls.cert`, with its value
    /// as in a TOML file; none where it is not set.
    pub fn flatten(&self) -> Vec<(String, Option<String>)> {
        let tree = toml::Value::try_from(self).ok();
        let mut keys = Vec::new();
        for section in sections() {
            let values = tree.as_ref().and_then(|tree| tree.get(section));
            collect(section, values, &mut keys);
        }
        keys.sort();
        keys
    }
}

fn collect(path: &str, value: Option<&toml::Value>, keys: &mut Vec<(String, Option<String>)>) {
    let Some(names) = keys_of(path) else {
        keys.push((path.to_owned(), value.map(ToString::to_string)));
        return;
    };
    for name in names {
        let value = value.and_then(|section| section.get(name));
        collect(&format!("{path}.{name}"), value, keys);
    }
}

/// The names of the keys in a section, such as `tls` or `admin.tls`; none if
/// there is no such section.
pub(super) fn keys_of(section: &str) -> Option<&'static [&'static str]> {
    let keys = fields(&format!("{section}.{UNKNOWN}"));
    (!keys.is_empty()).then_some(keys)
}

/// The problem of a section that there is not.
pub(super) fn unknown_section() -> String {
    format!("unknown section, there are: {}", sections().join(", "))
}

/// The names of the sections.
pub(super) fn sections() -> &'static [&'static str] {
    fields(UNKNOWN)
}

/// No name of a key or section.
const UNKNOWN: &str = "?";

/// The names that are known where this one is not: serde's derive knows them
/// and tells when it refuses another, so no list has to be kept here.
fn fields(unknown: &str) -> &'static [&'static str] {
    match extract(&Figment::from((unknown, true))).map_err(|error| error.kind) {
        // Not of a section above it that there is not.
        Err(Kind::UnknownField(name, known)) if name == UNKNOWN => known,
        _ => &[],
    }
}

/// The configuration of these layers.
pub(super) fn extract(figment: &Figment) -> Result<Config, Box<Error>> {
    figment.extract().map_err(Box::new)
}
