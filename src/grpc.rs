//! The gRPC front: what operators ask of a running broker, and have it do; and
//! [`federation`], where other brokers ask for proxies.
//!
//! [`serve`] is the server: who calls is found out by [`auth`] before any
//! service is asked, and the connections come from [`accept`].

pub mod accept;
pub mod admin;
pub mod auth;
pub mod connection;
mod convert;
pub mod federation;
mod identify;
mod pages;
pub mod places;
pub mod settings;
mod slow_down;
mod update;
mod violations;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use http::request::Parts;
use rustls::ServerConfig;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Server;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tracing::Level;

use crate::broker::clock;
use crate::metrics::Metrics;
use crate::metrics::labels::GrpcListener;
use crate::proto::DESCRIPTORS;
use crate::proto::admin::v1::admin_server::AdminServer;
use crate::telemetry::{Kind, LogLimit};

use accept::Entrance;
use admin::AdminService;
use auth::Access;
use connection::{ConnectInfo, Connection};
use identify::{Gatekeeper, Identify};

/// The largest request that is read, in bytes: some 20,000 bridges.
const REQUEST_MAX: usize = 4 << 20;
/// Calls at a time over one connection.
const STREAMS_MAX: u32 = 256;
/// The largest head of a request, in bytes; a token is in it.
const HEAD_MAX: u32 = 16 * 1024;
/// How often a caller is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long it may take to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// So many refusals are logged in a period.
const LOGGED_MAX: u32 = 10;
const LOG_PERIOD: Duration = Duration::from_mins(1);
const REFUSED: Kind = Kind::new(Level::WARN, "admin.listen: refused calls");

/// Who comes in; what a reload replaces.
#[derive(Debug)]
pub struct Gate {
    access: Arc<ArcSwap<Access>>,
    entrance: Arc<Entrance>,
    refusals: LogLimit,
}

impl Gate {
    /// Lets in whom `access` knows, over TLS if there is a configuration of it.
    pub fn new(access: Access, tls: Option<ServerConfig>, metrics: Arc<Metrics>) -> Self {
        let access = Arc::new(ArcSwap::from_pointee(access));
        let current = Arc::clone(&access);
        let knows = move |names: &[String]| current.load().knows_certificate(names);
        Self {
            access,
            entrance: Arc::new(Entrance::new(GrpcListener::Admin, tls, knows, metrics)),
            refusals: LogLimit::new(REFUSED, LOGGED_MAX, LOG_PERIOD),
        }
    }

    /// Lets in others from now on. Who is connected stays so, and is judged by
    /// the new rules from the next call on.
    pub fn set(&self, access: Access, tls: Option<ServerConfig>) {
        self.access.store(Arc::new(access));
        self.entrance.set_tls(tls);
    }

    /// Where connections come in.
    pub fn entrance(&self) -> Arc<Entrance> {
        Arc::clone(&self.entrance)
    }

    fn log_refusal(&self, why: &Status) {
        if let Some(suppressed) = self.refusals.admit(clock::now()) {
            let why = why.message();
            tracing::warn!(suppressed, "admin.listen: refused a call: {why}");
        }
    }
}

impl Gatekeeper for Gate {
    fn identify(&self, request: &mut Parts, connection: &ConnectInfo) -> Result<(), Status> {
        let authorization = request.headers.get(AUTHORIZATION);
        let authorization = authorization.map(HeaderValue::as_bytes);
        let identified = self.access.load().identify(connection, authorization);
        let principal = identified.inspect_err(|status| self.log_refusal(status))?;
        request.extensions.insert(principal);
        Ok(())
    }

    fn entrance(&self) -> &Entrance {
        &self.entrance
    }
}

/// Why calls cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors that the build made are of no use.
    #[error(transparent)]
    Descriptors(#[from] tonic_reflection::server::Error),
    /// The connections ended in an error.
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
}

/// Answers calls until `closing` is cancelled, and then those that are under
/// way.
pub async fn serve(
    incoming: impl Stream<Item = std::io::Result<Connection>>,
    gate: Arc<Gate>,
    admin: AdminService,
    health: HealthReporter,
    closing: CancellationToken,
) -> Result<(), ServeError> {
    let health = HealthServer::new(HealthService::from_health_reporter(health));
    Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEAD_MAX)
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .layer(Identify::by(gate))
        .add_service(AdminServer::new(admin).max_decoding_message_size(REQUEST_MAX))
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .serve_with_incoming_shutdown(incoming, closing.cancelled_owned())
        .await?;
    Ok(())
}

/// Tells callers what is spoken here.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // So that callers can show the details of errors.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        // Each of the two tells of both.
        .include_reflection_service(false)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
}
