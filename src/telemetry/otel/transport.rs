//! The transport of messages to a collector: one way for both signals, by gRPC or
//! over HTTP, with a deadline and a second and third try.

mod error;
mod grpc;
mod http;

use std::sync::Arc;
use std::time::Duration;

use ::http::Uri;
use ::http::header::{HeaderMap, HeaderName, HeaderValue};
use prost::Message;
use tokio::time::{sleep, timeout};

pub use error::InvalidEndpoint;

use crate::backoff::Backoff;

use self::error::SendError;
use self::grpc::Grpc;
use self::http::Http;
use super::pairs;
use super::settings::{Protocol, Settings};

/// The tries after the first.
const RETRIES: u32 = 2;
/// The delays before them, without jitter: few brokers share a collector.
const PAUSES: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(2));

/// Traces or metrics.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signal {
    /// Its name in the log.
    pub(super) name: &'static str,
    /// Its path below the endpoint of both signals, over HTTP.
    pub(super) http_path: &'static str,
    /// The method that takes it, by gRPC.
    pub(super) grpc_path: &'static str,
}

/// A way to a collector for one signal.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    way: Way,
    timeout: Duration,
}

#[derive(Clone, Debug)]
enum Way {
    Grpc(Arc<Grpc>),
    Http(Arc<Http>),
}

/// Checks that `endpoint` can be one.
pub fn check_endpoint(endpoint: &str) -> Result<(), InvalidEndpoint> {
    url(endpoint).map(drop)
}

/// Checks that `list` can be the headers of requests.
pub fn check_headers(list: &str) -> Result<(), InvalidEndpoint> {
    headers(list).map(drop)
}

impl Transport {
    /// A way to `endpoint`; nothing is connected yet. The path of an endpoint
    /// that is `shared` by the signals is continued by that of each. Has to be
    /// called in a runtime.
    pub(super) fn new(
        settings: &Settings,
        protocol: Protocol,
        (endpoint, shared): (&str, bool),
        signal: Signal,
    ) -> Result<Self, InvalidEndpoint> {
        let headers = headers(settings.headers.as_deref().unwrap_or_default())?;
        let timeout = settings.timeout;
        let way = match protocol {
            Protocol::Grpc => {
                let grpc = Grpc::new(url(endpoint)?, signal.grpc_path, headers, timeout)?;
                Way::Grpc(Arc::new(grpc))
            }
            Protocol::HttpProtobuf => {
                let path = if shared { signal.http_path } else { "" };
                let uri = format!("{}{path}", endpoint.trim_end_matches('/'));
                Way::Http(Arc::new(Http::new(url(&uri)?, headers)?))
            }
        };
        Ok(Self { way, timeout })
    }

    /// Sends a message, and once or twice again where that makes sense. Ends
    /// within the timeout of the settings.
    pub(super) async fn send<M, R>(&self, message: &M) -> Result<R, SendError>
    where
        M: Message + Clone + 'static,
        R: Message + Default + 'static,
    {
        let tries = timeout(self.timeout, self.send_patiently(message)).await;
        tries.unwrap_or(Err(SendError::TimedOut(self.timeout)))
    }

    async fn send_patiently<M, R>(&self, message: &M) -> Result<R, SendError>
    where
        M: Message + Clone + 'static,
        R: Message + Default + 'static,
    {
        for failures in 1..=RETRIES {
            match self.send_once(message).await {
                Err(error) if error.may_pass() => sleep(PAUSES.delay(failures, 0.0)).await,
                done => return done,
            }
        }
        self.send_once(message).await
    }

    async fn send_once<M, R>(&self, message: &M) -> Result<R, SendError>
    where
        M: Message + Clone + 'static,
        R: Message + Default + 'static,
    {
        match &self.way {
            Way::Grpc(grpc) => grpc.send(message).await,
            Way::Http(http) => http.send(message).await,
        }
    }
}

fn url(endpoint: &str) -> Result<Uri, InvalidEndpoint> {
    let uri: Uri = endpoint.parse()?;
    let has_host = uri.host().is_some_and(|host| !host.is_empty());
    match uri.scheme_str() {
        Some("http" | "https") if has_host && has_valid_port(&uri) => Ok(uri),
        _ => Err(InvalidEndpoint::Scheme),
    }
}

/// Returns true if the port is a number, or there is none: `Uri` takes any text.
fn has_valid_port(uri: &Uri) -> bool {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host_and_port = authority
        .rsplit_once('@')
        .map_or(authority, |(_, rest)| rest);
    let after_ipv6 = host_and_port.rsplit_once(']');
    let may_have_port = after_ipv6.map_or(host_and_port, |(_, rest)| rest);
    !may_have_port.contains(':') || uri.port_u16().is_some()
}

fn headers(list: &str) -> Result<HeaderMap, InvalidEndpoint> {
    let mut headers = HeaderMap::new();
    let pairs = pairs::parse(list).map_err(|_| InvalidEndpoint::Headers)?;
    for (name, value) in pairs {
        let wrong = || InvalidEndpoint::Header(name.clone());
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_urls_with_a_host() {
        for endpoint in [
            "http://localhost:4317",
            "http://user:word@localhost",
            "https://[2001:db8::1]/otlp?a=b",
            "https://[2001:db8::1]:4317",
        ] {
            assert!(check_endpoint(endpoint).is_ok(), "{endpoint}");
        }
        for endpoint in [
            "",
            "localhost:4317",
            "/v1/traces",
            "ftp://a",
            "http://",
            "http://a:",
            "http://a:b",
            "http://a:65536",
            "http://[2001:db8::1]:b",
            "http://joe:hun/ter2@a",
            "a b",
        ] {
            assert!(check_endpoint(endpoint).is_err(), "{endpoint}");
        }
    }

    #[test]
    fn wrong_headers_are_named_without_their_value() {
        assert!(check_headers("authorization=Bearer%20x,x-a=1").is_ok());
        let wrong = check_headers("x-a=1,x-key=secret%0a").unwrap_err();
        assert!(wrong.to_string().contains("x-key"), "{wrong}");
        assert!(!wrong.to_string().contains("secret"), "{wrong}");
        let wrong = check_headers("x-a=1,secret").unwrap_err();
        assert!(!wrong.to_string().contains("secret"), "{wrong}");
    }
}
