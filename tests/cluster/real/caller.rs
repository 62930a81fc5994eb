//! A client or a proxy, which sends one request after the other to a balancer.

use std::net::SocketAddr;
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::real::haproxy::NODE_HEADER;

/// The time after which a request counts as hanging, longer than any of them may take.
const HANGING: Duration = Duration::from_secs(25);

/// The sender, whose connection is kept while it lasts.
pub(crate) struct Caller {
    front: SocketAddr,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// The response to a request.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// The node that it came from, as far as the balancer tells.
    pub(crate) node: Option<String>,
    /// The JSON in it; an error says what came in its place.
    pub(crate) body: Result<Value, Failure>,
}

/// The reason why there is no useful response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody took the connection.
    Refused,
    /// The connection ended before the response.
    BrokenOff,
    /// There was a response with this status.
    Status(u16),
    /// Nothing came.
    Hanging,
}

impl Caller {
    pub(crate) fn new(front: SocketAddr) -> Self {
        Self {
            front,
            connection: None,
        }
    }

    /// Sends a request. An idle connection that closes meanwhile is replaced once, as browsers
    /// and CDNs do.
    pub(crate) async fn post(&mut self, path: &str, body: String) -> Reply {
        let was_idle = self.connection.is_some();
        let reply = self.try_post(path, body.clone()).await;
        match reply.body {
            Err(Failure::BrokenOff) if was_idle => self.try_post(path, body).await,
            _ => reply,
        }
    }

    async fn try_post(&mut self, path: &str, body: String) -> Reply {
        match timeout(HANGING, self.send(path, body)).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(failure)) => failure.into(),
            Err(_) => Failure::Hanging.into(),
        }
    }

    async fn send(&mut self, path: &str, body: String) -> Result<Reply, Failure> {
        let broken_off = |_| Failure::BrokenOff;
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let request = Request::post(path).header("Host", "cdn.example");
        let request = request.body(Full::from(body)).unwrap();
        connection.ready().await.map_err(broken_off)?;
        let response = connection.send_request(request).await.map_err(broken_off)?;
        let status = response.status().as_u16();
        let node = response.headers().get(NODE_HEADER);
        let node = node.map(|node| node.to_str().unwrap().to_owned());
        let body = response.into_body().collect().await.map_err(broken_off)?;
        self.connection = Some(connection);
        let body = match status {
            200 => Ok(serde_json::from_slice(&body.to_bytes()).unwrap()),
            _ => Err(Failure::Status(status)),
        };
        Ok(Reply { node, body })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let stream = TcpStream::connect(self.front).await;
        let stream = stream.map_err(|_| Failure::Refused)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        Self {
            node: None,
            body: Err(failure),
        }
    }
}
