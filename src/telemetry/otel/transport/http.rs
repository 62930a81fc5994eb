//! OTLP as protobuf over HTTP/1.1.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prost::Message;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};

use super::error::SendError;
use super::grpc::AGENT;
use crate::telemetry::otel::endpoint::InvalidEndpoint;

/// The maximum size of a reply, in bytes.
const REPLY_MAX: usize = 64 * 1024;

/// One URL of a collector.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
}

impl Http {
    pub(super) fn new(uri: Uri, mut headers: HeaderMap) -> Result<Self, InvalidEndpoint> {
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        headers.insert(CONTENT_TYPE, protobuf);
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let connector = connector(uri.scheme_str() == Some("https"))?;
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            uri,
            headers,
        })
    }

    pub(super) async fn send<M, R>(&self, message: &M) -> Result<R, SendError>
    where
        M: Message,
        R: Message + Default,
    {
        let mut request = Request::new(Full::from(message.encode_to_vec()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let reply = self
            .client
            .request(request)
            .await
            .map_err(|error| SendError::unreachable(&error))?;
        let (head, body) = reply.into_parts();
        if !head.status.is_success() {
            return Err(SendError::Http(head.status));
        }
        let body = Limited::new(body, REPLY_MAX)
            .collect()
            .await
            .map_err(|error| match error.downcast::<LengthLimitError>() {
                Ok(_) => SendError::BadReply,
                Err(error) => SendError::unreachable(&*error),
            })?;
        R::decode(body.to_bytes()).map_err(|_| SendError::BadReply)
    }
}

/// Loads certificate authorities only if they are needed: a small container has none.
fn connector(is_tls: bool) -> Result<HttpsConnector<HttpConnector>, InvalidEndpoint> {
    let builder = HttpsConnectorBuilder::new();
    let provider = aws_lc_rs::default_provider();
    let builder = if is_tls {
        let native = builder.with_provider_and_native_roots(provider);
        native.map_err(|_| InvalidEndpoint::NoAuthorities)?
    } else {
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| InvalidEndpoint::Tls(error.to_string()))?;
        let nobody = config.with_root_certificates(RootCertStore::empty());
        builder.with_tls_config(nobody.with_no_client_auth())
    };
    Ok(builder.https_or_http().enable_http1().build())
}
