//! The configuration: every module's settings in one tree, composed here and
//! nowhere else.
//!
//! [`load`] lays the layers over each other: the defaults, the TOML file,
//! OpenTelemetry's variables, ours, the flags. Every value is tried on its own before the layers
//! are merged, so every wrong one is named and not only the first, each with
//! where it came from. What concerns several keys at once is in `rules`.

mod file;
mod finding;
mod layers;
mod load;
mod otel_variables;
mod rules;
mod secrets;

use serde::{Deserialize, Serialize};

pub use finding::{ConfigErrors, Finding, Origins, Source, one_line};
pub use layers::Flag;
pub use load::{Inputs, Loaded, glance, load};
pub use rules::listeners::{ListeningPlace, WITHOUT_HTTP_01, listening_places};
pub use secrets::{HIDDEN, is_secret, without_url_secrets};

/// A file with every key at its default, explained.
pub const EXAMPLE: &str = include_str!("config/example.toml");

/// Every setting. A section is the settings of one module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where and how connections are taken.
    pub listener: crate::listener::Settings,
    /// The certificate from files, or none.
    pub tls: crate::tls::Settings,
    /// The certificate by ACME.
    pub acme: crate::tls::acme::Settings,
    /// How requests are read.
    pub http: crate::http::Settings,
    /// Bridges and the proxies that may serve them.
    pub broker: crate::broker::Settings,
    /// When proxies are told to poll again.
    pub poll_interval: crate::broker::PollInterval,
    /// How many requests one address may send.
    pub limits: crate::broker::limits::Settings,
    /// Patience and bounds of the matching engine.
    pub matching: crate::matching::Settings,
    /// Where the country databases are.
    pub geoip: crate::geoip::Settings,
    /// Where counts are written.
    pub metrics: crate::metrics::Settings,
    /// What is logged.
    pub telemetry: crate::telemetry::Settings,
    /// What is sent to OpenTelemetry collectors.
    pub otel: crate::telemetry::otel::Settings,
    /// Where operators look into the broker by HTTP.
    pub operator: crate::http::operator::Settings,
    /// Who may look into the broker and steer it, and where.
    pub admin: crate::grpc::settings::Settings,
    /// Brokers that lend each other proxies.
    pub federation: crate::federation::Settings,
    /// The queues that clients may write to.
    pub sqs: crate::sqs::Settings,
}

impl Config {
    /// The configuration as a TOML file that [`load`] reads back to the same.
    /// Optional keys that are not set are left out: TOML has no word for it.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// The same without what is secret in it, and the keys that it was left out of.
    pub fn to_toml_without_secrets(&self) -> Result<(String, Vec<String>), toml::ser::Error> {
        let mut tree = toml::Table::try_from(self)?;
        let hidden = secrets::hide(&mut tree);
        Ok((toml::to_string(&tree)?, hidden))
    }

    /// Every key in alphabetical order, such as `admin.tls.cert`, with its value
    /// as in a TOML file; none where it is not set.
    pub fn flatten(&self) -> Vec<(String, Option<String>)> {
        load::flatten(self)
    }
}

#[cfg(test)]
mod tests;
