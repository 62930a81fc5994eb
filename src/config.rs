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
mod schema;
mod secrets;

pub use finding::{ConfigErrors, Finding, Origins, SettingSource, one_line};
pub use layers::Flag;
pub use load::{Inputs, Loaded, glance, load};
pub use rules::listeners::{ListeningPlace, WITHOUT_HTTP_01, listening_places};
pub use schema::Config;
pub use secrets::{HIDDEN, is_secret, without_url_secrets};

/// A file with every key at its default, explained.
pub const EXAMPLE: &str = include_str!("config/example.toml");

#[cfg(test)]
mod tests;
