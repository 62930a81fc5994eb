//! The gRPC front: what operators ask of a running broker, and have it do; and
//! [`federation`], where other brokers ask for proxies.
//!
//! [`admin_server`] is the server: the caller is found out by [`auth`] before any
//! service is asked, and connections come to an [`endpoint`].

pub mod admin;
pub mod auth;
mod convert;
mod deadline;
pub mod endpoint;
pub mod federation;
mod identify;
mod pages;
pub mod role;
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
use tonic::Status;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tracing::Level;

use crate::broker::clock;
use crate::listener::{Closing, KeepAlive, PeerIdentity, Serve, Server};
use crate::metrics::Metrics;
use crate::metrics::labels::GrpcListener;
use crate::proto::DESCRIPTORS;
use crate::proto::admin::v1::admin_server::AdminServer;
use crate::telemetry::{Kind, LogLimit};

use admin::AdminService;
use auth::Access;
use endpoint::{EndpointLimits, TlsEndpoint};
use identify::{CallerAuth, Guarded};

/// The largest request that is read, in bytes: some 20,000 bridges.
const REQUEST_MAX: usize = 4 << 20;
/// Calls at a time over one connection, and its pings.
const LIMITS: EndpointLimits = EndpointLimits {
    max_streams: 256,
    keep_alive: KeepAlive {
        interval: Duration::from_secs(20),
        timeout: Duration::from_secs(10),
    },
};

/// So many refusals are logged in a period.
const LOGGED_MAX: u32 = 10;
const LOG_PERIOD: Duration = Duration::from_mins(1);
const REFUSED: Kind = Kind::new(Level::WARN, "admin.listen: refused calls");

/// Those who may call the administration, and its endpoint; both are replaced by a reload.
#[derive(Debug)]
pub struct AdminAuth {
    access: Arc<ArcSwap<Access>>,
    endpoint: Arc<TlsEndpoint>,
    refusals: LogLimit,
}

impl AdminAuth {
    /// Lets in whom `access` knows, over TLS if there is a configuration of it.
    pub fn new(access: Access, tls: Option<ServerConfig>, metrics: Arc<Metrics>) -> Self {
        Self {
            access: Arc::new(ArcSwap::from_pointee(access)),
            endpoint: TlsEndpoint::new(GrpcListener::Admin, tls, metrics),
            refusals: LogLimit::new(REFUSED, LOGGED_MAX, LOG_PERIOD),
        }
    }

    /// Lets in others from now on. Who is connected stays so, and is judged by
    /// the new rules from the next call on.
    pub fn set(&self, access: Access, tls: Option<ServerConfig>) {
        self.access.store(Arc::new(access));
        self.endpoint.set_tls(tls);
    }

    fn log_refusal(&self, why: &Status) {
        if let Some(suppressed) = self.refusals.admit(clock::now()) {
            let why = why.message();
            tracing::warn!(suppressed, "admin.listen: refused a call: {why}");
        }
    }
}

impl CallerAuth for AdminAuth {
    fn identify(&self, request: &mut Parts, peer: &PeerIdentity) -> Result<(), Status> {
        let authorization = request
            .headers
            .get(AUTHORIZATION)
            .map(HeaderValue::as_bytes);
        let identified = self.access.load().identify(peer, authorization);
        let principal = identified.inspect_err(|status| self.log_refusal(status))?;
        request.extensions.insert(principal);
        Ok(())
    }

    fn endpoint(&self) -> &TlsEndpoint {
        &self.endpoint
    }
}

/// The server of the administration, until `closing` ends it.
///
/// # Errors
/// If the descriptors that the build made are of no use.
pub fn admin_server(
    auth: &Arc<AdminAuth>,
    admin: AdminService,
    health: HealthReporter,
    closing: Closing,
) -> Result<Server<impl Serve>, tonic_reflection::server::Error> {
    let health = HealthServer::new(HealthService::from_health_reporter(health));
    let routes = Routes::new(AdminServer::new(admin).max_decoding_message_size(REQUEST_MAX))
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let service = Guarded::new(routes.into_axum_router(), Arc::clone(auth), Duration::MAX);
    let access = Arc::clone(&auth.access);
    let knows = move |names: &[String]| access.load().knows_certificate(names);
    Ok(auth.endpoint.server(service, LIMITS, knows, closing))
}

/// Tells callers which services are spoken here.
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
