//! The gRPC front: the administration service for operators, and [`federation`], the
//! service through which peers borrow proxies.
//!
//! [`admin_server`] is the administration server. [`auth`] identifies the caller before
//! any service runs, and each listener has an [`endpoint`].

pub mod admin;
pub mod auth;
pub(crate) mod bridge_messages;
mod convert;
mod deadline;
pub mod endpoint;
pub mod federation;
mod identify;
mod pages;
pub mod policy_message;
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

/// The maximum size of a request, in bytes: about 20,000 bridges.
const REQUEST_MAX: usize = 4 << 20;
/// The maximum number of concurrent calls per connection, and the keep-alive pings.
const LIMITS: EndpointLimits = EndpointLimits {
    max_streams: 256,
    keep_alive: KeepAlive {
        interval: Duration::from_secs(20),
        timeout: Duration::from_secs(10),
    },
};

/// The maximum number of refusals logged per period.
const LOGGED_MAX: u32 = 10;
const LOG_PERIOD: Duration = Duration::from_mins(1);
const REFUSED: Kind = Kind::new(Level::WARN, "admin.listen: refused calls");

/// The callers allowed to use the administration, and its endpoint. A reload replaces
/// both.
#[derive(Debug)]
pub struct AdminAuth {
    access: Arc<ArcSwap<Access>>,
    endpoint: Arc<TlsEndpoint>,
    refusals: LogLimit,
}

impl AdminAuth {
    /// Admits the callers in `access`, over TLS if `tls` is given.
    pub fn new(access: Access, tls: Option<ServerConfig>, metrics: Arc<Metrics>) -> Self {
        Self {
            access: Arc::new(ArcSwap::from_pointee(access)),
            endpoint: TlsEndpoint::new(GrpcListener::Admin, tls, metrics),
            refusals: LogLimit::new(REFUSED, LOGGED_MAX, LOG_PERIOD),
        }
    }

    /// Replaces the callers and the TLS configuration. Open connections stay, and the new
    /// rules apply from their next call on.
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

/// The administration server, which runs until `closing` ends it.
///
/// # Errors
/// Fails if the protobuf descriptors from the build are invalid.
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

/// The reflection service, which lists the services of this server.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // Lets callers decode the details of errors.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        // Each of the two reflection versions lists both.
        .include_reflection_service(false)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
}
