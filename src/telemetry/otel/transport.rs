//! The transport of messages to a collector: one way for both signals, by gRPC or
//! over HTTP, with a deadline and a second and third try.

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
