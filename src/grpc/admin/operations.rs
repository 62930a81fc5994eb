//! Operations of the administration that need files, the clock or the process.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tonic::async_trait;

use crate::broker::limits;
use crate::broker::private_pools::settings::{POOLS_MAX, PoolSettings};
use crate::proto::admin::v1;

/// Keys of the configuration with the overriding values in force, as in a TOML file.
pub type Overrides = BTreeMap<String, String>;

/// Operations on files, the clock or the whole process, implemented by `app`.
#[async_trait]
pub trait Operations: Send + Sync + 'static {
    /// Reloads the configuration, and applies it unless it is only to be validated.
    /// Returns an error for each invalid part.
    async fn reload(&self, validate_only: bool) -> Result<v1::ReloadResponse, Vec<WrongPart>>;

    /// Writes the bridge list to the configured file.
    async fn write_bridges(&self, lines: String) -> Result<(), WriteBridgesError>;

    /// Applies a log filter, permanently or for `ttl`. Returns the time at which the
    /// previous filter returns, or the fault of the filter.
    fn set_log_filter(
        &self,
        filter: &str,
        ttl: Option<Duration>,
    ) -> Result<Option<SystemTime>, String>;

    /// Applies limits: at once for requests, and to the next connections.
    fn set_limits(&self, limits: &limits::Settings);

    /// Notes that keys of the configuration have other values in force, written as in a
    /// TOML file.
    fn note_overrides(&self, overrides: Overrides);

    /// Has a change hold for all nodes of a cluster, if this broker is one: the request of
    /// the administration with all values of its kind; see [`super::shared`].
    fn share(&self, name: &str, request: Vec<u8>);

    /// Drains the broker after a grace period, and returns the end of that period.
    fn drain(&self, grace: Option<Duration>) -> SystemTime;

    /// Resumes matching; `false` if the broker is stopping.
    fn resume(&self) -> bool;

    /// Creates a private pool, unless that is only to be validated, and returns its token.
    async fn create_private_pool(
        &self,
        settings: PoolSettings,
        validate_only: bool,
    ) -> Result<String, PoolRefused>;

    /// Removes a private pool that was created so.
    async fn delete_private_pool(&self, name: &str) -> Result<(), PoolRefused>;

    /// The configuration in force.
    fn config(&self) -> Vec<v1::Setting>;
}

/// A part of the configuration that cannot be applied.
#[derive(Clone, Debug)]
pub struct WrongPart {
    /// The name of the part, such as `bridges`.
    pub part: String,
    /// The fault in it.
    pub problem: String,
}

/// A reason why a private pool was not created or removed.
#[derive(Debug, thiserror::Error)]
pub enum PoolRefused {
    /// No file is configured.
    #[error("admin.pools_file must be set, to keep the pool")]
    NoFile,
    /// There is one of this name.
    #[error("there is a private pool of this name")]
    Exists,
    /// There are as many as there may be.
    #[error("there are {POOLS_MAX} private pools, and there must not be more")]
    TooMany,
    /// The configuration has it.
    #[error("the configuration has this private pool: remove it there, and reload")]
    Configured,
    /// There is none of this name.
    #[error("there is no private pool of this name")]
    Unknown,
    /// The files of the pools cannot be read, or this one not be written.
    #[error("{0}")]
    Io(String),
}

/// A reason why the bridge list was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteBridgesError {
    /// No file is configured.
    #[error("broker.bridge_list_path must be set to write back")]
    NoPath,
    /// The file cannot be written.
    #[error("broker.bridge_list_path: cannot be written: {0}")]
    Io(std::io::Error),
}
