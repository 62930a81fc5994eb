//! OTLP over gRPC.

use std::error::Error;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderMap, Uri};
use prost::Message;
use tonic::client;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic_prost::ProstCodec;

use super::error::SendError;
use crate::causes::with_causes;
use crate::telemetry::otel::endpoint::InvalidEndpoint;

/// The user agent sent to collectors, also over HTTP.
pub(super) const AGENT: &str = concat!("snowflake-broker/", env!("CARGO_PKG_VERSION"));

/// One gRPC method of a collector.
#[derive(Clone, Debug)]
pub(super) struct Grpc {
    channel: Channel,
    path: &'static str,
    metadata: MetadataMap,
}

impl Grpc {
    pub(super) fn new(
        uri: Uri,
        path: &'static str,
        headers: HeaderMap,
        timeout: Duration,
    ) -> Result<Self, InvalidEndpoint> {
        Ok(Self {
            channel: channel(uri, timeout)?,
            path,
            metadata: MetadataMap::from_headers(headers),
        })
    }

    pub(super) async fn send<M, R>(&self, message: &M) -> Result<R, SendError>
    where
        M: Message + Clone + 'static,
        R: Message + Default + 'static,
    {
        let mut request = tonic::Request::new(message.clone());
        *request.metadata_mut() = self.metadata.clone();
        let mut client = client::Grpc::new(self.channel.clone());
        let ready = client.ready().await;
        ready.map_err(|error| SendError::unreachable(&error))?;
        let path = PathAndQuery::from_static(self.path);
        let reply = client.unary(request, path, ProstCodec::default()).await;
        Ok(reply.map_err(|status| refused(&status))?.into_inner())
    }
}

fn channel(uri: Uri, timeout: Duration) -> Result<Channel, InvalidEndpoint> {
    let is_tls = uri.scheme_str() == Some("https");
    let tls = |error: tonic::transport::Error| InvalidEndpoint::Tls(with_causes(&error));
    let mut endpoint = Endpoint::from(uri)
        .user_agent(AGENT)
        .map_err(tls)?
        .connect_timeout(timeout)
        .timeout(timeout);
    if is_tls {
        let native = ClientTlsConfig::new().with_native_roots();
        endpoint = endpoint.tls_config(native).map_err(tls)?;
    }
    Ok(endpoint.connect_lazy())
}

/// The error for a status. A local status has a source; one sent by the collector has
/// none.
fn refused(status: &tonic::Status) -> SendError {
    match status.source() {
        Some(source) => SendError::unreachable(source),
        None => SendError::Grpc(status.code()),
    }
}
