//! The HTTP front.

pub mod client_address;
mod settings;

pub use settings::Settings;
