//! The matching engine.
mod settings;
pub use settings::Settings;
