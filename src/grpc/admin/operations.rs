//! The operations that the administration leaves to those who can.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tonic::async_trait;

use crate::broker::limits;
use crate::proto::admin::v1;

/// Keys of the configuration and the values that are in force instead of its,
/// written as in a TOML file.
pub type Overrides = BTreeMap<String, String>;

/// Operations on files, the clock or the process as a whole: the composition does
/// them.
#[async_trait]
pub trait Operations: Send + Sync + 'static {
    /// Reads everything again, and puts it in force unless it is only to be
    /// checked. The error is every part that is wrong.
    async fn reload(&self, validate_only: bool) -> Result<v1::ReloadResponse, Vec<WrongPart>>;

    /// Writes the bridge list to the file of the configuration.
    async fn write_bridges(&self, lines: String) -> Result<(), WriteBridgesError>;

    /// Logs by this filter from now on, or for a while; returns when the old one
    /// is back. The error says what is wrong with the filter.
    fn set_log_filter(
        &self,
        filter: &str,
        ttl: Option<Duration>,
    ) -> Result<Option<SystemTime>, String>;

    /// Puts other limits in force, for requests at once, for connections with the
    /// next.
    fn set_limits(&self, limits: &limits::Settings);

    /// Notes that keys of the configuration have other values in force, written
    /// as in a TOML file.
    fn note_overrides(&self, overrides: Overrides);

    /// Lets the broker run empty after a grace; returns when that ends.
    fn drain(&self, grace: Option<Duration>) -> SystemTime;

    /// Matches again; `false` if the broker is stopping.
    fn resume(&self) -> bool;

    /// The configuration in force.
    fn config(&self) -> Vec<v1::Setting>;
}

/// A part of the configuration that cannot be put in force.
#[derive(Clone, Debug)]
pub struct WrongPart {
    /// The name of the part, such as `bridges`.
    pub part: String,
    /// The fault in it.
    pub problem: String,
}

/// The reason why the bridge list was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteBridgesError {
    /// There is no file to write it to.
    #[error("the configuration names no broker.bridge_list_path")]
    NoPath,
    /// The file cannot be written.
    #[error("broker.bridge_list_path cannot be written: {0}")]
    Io(std::io::Error),
}
