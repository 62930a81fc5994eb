//! The transport of messages to a collector, shared by both signals: over gRPC or HTTP,
//! with a deadline and two retries.

mod error;
mod grpc;
mod http;

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::time::{sleep, timeout};

use crate::backoff::Backoff;

use self::error::SendError;
use self::grpc::Grpc;
use self::http::Http;
use super::endpoint::{InvalidEndpoint, headers, url};
use super::settings::{Protocol, Settings};

/// The number of retries.
const RETRIES: u32 = 2;
/// The delays before retries, without jitter: few brokers share a collector.
const PAUSES: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_secs(2));

/// A signal: traces or metrics.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signal {
    /// The name in the log.
    pub(super) name: &'static str,
    /// The path that is appended to a shared endpoint, over HTTP.
    pub(super) http_path: &'static str,
    /// The method, over gRPC.
    pub(super) grpc_path: &'static str,
}

/// A transport to a collector for one signal.
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

impl Transport {
    /// A transport to `endpoint`, not connected yet. If the endpoint is `shared` by both
    /// signals, the signal's path is appended. Call this in a runtime.
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

    /// Sends a message, with retries where that makes sense, within the time limit of the
    /// settings.
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
