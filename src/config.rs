//! The configuration: the settings of all modules in one tree, composed only here.
//!
//! [`load`] merges the layers: the defaults, the TOML file, OpenTelemetry's variables,
//! our variables, the flags. Every value is checked on its own before the layers are
//! merged, so that all invalid values are reported, each with its source. Rules that
//! concern several keys are in `rules`.

mod file;
mod finding;
mod layers;
mod load;
mod otel_variables;
mod rules;
mod schema;
mod secrets;
mod suggestion;

pub use finding::{ConfigErrors, Finding, Origins, SettingSource};
pub use layers::Flag;
pub use load::{Inputs, Loaded, glance, load};
pub use rules::listeners::{ListeningPlace, WITHOUT_HTTP_01, listening_places};
pub use schema::Config;
pub use secrets::{HIDDEN, is_secret, without_url_secrets};

/// The example file with every key, its default and an explanation.
pub const EXAMPLE: &str = include_str!("config/example.toml");

#[cfg(test)]
mod tests;
