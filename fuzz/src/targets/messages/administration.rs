//! The administration of a broker that has no files, no clock and no process of its own.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use snowflake_broker::broker::limits;
use snowflake_broker::broker::private_pools::settings::PoolSettings;
use snowflake_broker::grpc::admin::AdminService;
use snowflake_broker::grpc::admin::operations::{
    Operations, Overrides, PoolRefused, WriteBridgesError, WrongPart,
};
use snowflake_broker::grpc::auth::Access;
use snowflake_broker::grpc::settings::Settings;
use snowflake_broker::grpc::{AdminAuth, admin_server};
use snowflake_broker::listener::Closing;
use snowflake_broker::metrics::Metrics;
use snowflake_broker::metrics::distinct_ips::WindowKey;
use snowflake_broker::proto::DESCRIPTORS;
use snowflake_broker::proto::admin::v1;
use tonic_health::server::HealthReporter;

use super::call;
use crate::support::front::Front;
use crate::targets::choice;

/// An operator's call: the number of the method, and the request.
pub(super) async fn operator(front: &Front, input: &[u8]) {
    let paths = methods();
    let count = u8::try_from(paths.len()).expect("few methods");
    let Some((which, message)) = choice(input, count) else {
        return;
    };
    let metrics = Arc::new(Metrics::new(UNIX_EPOCH, WindowKey::from([7; 16])));
    let access = Access::new(&Settings::default(), &[]);
    let auth = Arc::new(AdminAuth::new(access, None, metrics));
    let broker = Arc::clone(&front.broker);
    let admin = AdminService::new(broker, Arc::new(Detached), Closing::default());
    let server = admin_server(&auth, admin, HealthReporter::new(), Closing::default());
    call(
        server.expect("our own descriptors"),
        &paths[usize::from(which)],
        message,
    )
    .await;
}

/// The paths of all methods.
fn methods() -> Vec<String> {
    let package = "snowflake.broker.admin.v1";
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("our own descriptors");
    let files = files.file.iter().filter(|file| file.package() == package);
    let services = files.flat_map(|file| &file.service);
    let paths = services.flat_map(|service| {
        let methods = service.method.iter();
        methods.map(|method| format!("/{package}.{}/{}", service.name(), method.name()))
    });
    paths.collect()
}

/// Operations that change nothing outside of the broker.
struct Detached;

#[async_trait]
impl Operations for Detached {
    async fn reload(&self, _validate_only: bool) -> Result<v1::ReloadResponse, Vec<WrongPart>> {
        Ok(v1::ReloadResponse::default())
    }

    async fn write_bridges(&self, _lines: String) -> Result<(), WriteBridgesError> {
        Err(WriteBridgesError::NoPath)
    }

    fn set_log_filter(
        &self,
        filter: &str,
        _ttl: Option<Duration>,
    ) -> Result<Option<SystemTime>, String> {
        Err(filter.to_owned())
    }

    fn set_limits(&self, _limits: &limits::Settings) {}

    fn note_overrides(&self, _overrides: Overrides) {}

    fn share(&self, _name: &str, _request: Vec<u8>) {}

    fn drain(&self, _grace: Option<Duration>) -> SystemTime {
        UNIX_EPOCH
    }

    fn resume(&self) -> bool {
        true
    }

    async fn create_private_pool(
        &self,
        _settings: PoolSettings,
        _validate_only: bool,
    ) -> Result<String, PoolRefused> {
        Err(PoolRefused::NoFile)
    }

    async fn delete_private_pool(&self, _name: &str) -> Result<(), PoolRefused> {
        Err(PoolRefused::NoFile)
    }

    fn config(&self) -> Vec<v1::Setting> {
        Vec::new()
    }
}
