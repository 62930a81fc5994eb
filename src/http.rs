//! The HTTP front.
mod settings;
pub use settings::Settings;
