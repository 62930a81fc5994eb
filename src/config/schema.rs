//! The tree of all settings, and the names of its sections and keys.

use figment::error::Kind;
use figment::{Error, Figment};
use serde::{Deserialize, Serialize};

use super::secrets::hide;

/// All settings. Each section is the settings of one module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The public address and the limits on connections.
    pub listener: crate::listener::Settings,
    /// The certificate from files, or none.
    pub tls: crate::tls::Settings,
    /// The certificate by ACME.
    pub acme: crate::tls::acme::Settings,
    /// Limits of requests, and trust in reverse proxies.
    pub http: crate::http::Settings,
    /// Bridges, and the proxies that may serve them.
    pub broker: crate::broker::Settings,
    /// The probes of the bridges' addresses.
    pub bridges: crate::bridges::Settings,
    /// The private pools.
    pub pools: crate::broker::private_pools::settings::Settings,
    /// The poll intervals of proxies.
    pub poll_interval: crate::broker::PollInterval,
    /// Request limits per address.
    pub limits: crate::broker::limits::Settings,
    /// The shares of sources of proxies.
    pub supply: crate::matching::SupplySettings,
    /// Learning from the outcomes of matches.
    pub outcomes: crate::outcomes::Settings,
    /// The rules of who shall be matched with whom.
    pub policy: crate::policy::Settings,
    /// Time-outs and bounds of the matching engine.
    pub matching: crate::matching::Settings,
    /// The country databases.
    pub geoip: crate::geoip::Settings,
    /// The metrics log and other files of statistics.
    pub metrics: crate::metrics::Settings,
    /// Logging.
    pub telemetry: crate::telemetry::Settings,
    /// Exports to OpenTelemetry collectors.
    pub otel: crate::telemetry::otel::Settings,
    /// The plain-HTTP endpoints for operators.
    pub operator: crate::http::operator::Settings,
    /// The status page.
    pub status: crate::http::status_page::Settings,
    /// The server that tells proxies their NAT type.
    pub probe: crate::probe::Settings,
    /// The gRPC administration service.
    pub admin: crate::grpc::settings::Settings,
    /// The cluster that this broker is a node of.
    pub cluster: crate::cluster::Settings,
    /// The peers that lend each other proxies.
    pub federation: crate::federation::Settings,
    /// The SQS queues that clients write to.
    pub sqs: crate::sqs::Settings,
}

impl Config {
    /// The configuration as TOML that [`super::load()`] reads back unchanged. Unset
    /// optional keys are omitted, since TOML cannot express them.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// The same without secrets, and the keys whose secrets were removed.
    pub fn to_toml_without_secrets(&self) -> Result<(String, Vec<String>), toml::ser::Error> {
        let mut tree = toml::Table::try_from(self)?;
        let hidden = hide(&mut tree);
        Ok((toml::to_string(&tree)?, hidden))
    }

    /// All keys in alphabetical order, such as `admin.tls.cert`, each with its value as
    /// in a TOML file; `None` if not set.
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

/// The names of the keys in a section, such as `tls` or `admin.tls`; `None` if the
/// section does not exist.
pub(super) fn keys_of(section: &str) -> Option<&'static [&'static str]> {
    let keys = fields(&format!("{section}.{UNKNOWN}"));
    (!keys.is_empty()).then_some(keys)
}

/// The paths of all keys.
pub(super) fn all_keys() -> Vec<String> {
    let keys = Config::default().flatten().into_iter();
    keys.map(|(key, _)| key).collect()
}

/// The names of the sections.
pub(super) fn sections() -> &'static [&'static str] {
    fields(UNKNOWN)
}

/// A name that is not a key or section.
const UNKNOWN: &str = "?";

/// The known names in a section. serde's derive reports them when it refuses another
/// name, so that no list has to be maintained here.
fn fields(unknown: &str) -> &'static [&'static str] {
    match extract(&Figment::from((unknown, true))).map_err(|error| error.kind) {
        // Not of an unknown parent section.
        Err(Kind::UnknownField(name, known)) if name == UNKNOWN => known,
        _ => &[],
    }
}

/// The configuration from these layers.
pub(super) fn extract(figment: &Figment) -> Result<Config, Box<Error>> {
    figment.extract().map_err(Box::new)
}
