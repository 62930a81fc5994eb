//! Somebody who sends requests to a broker, from an address of his own.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::configs::{PORT_OF_B, PORT_OF_P};
use crate::network::{PORT, connect_to};
use crate::support::peer::Peer;
use crate::tally::{Fate, Kind, Tally};
use crate::tls;

/// Longer than any reply takes.
const HANGS: Duration = Duration::from_secs(20);

/// A broker as callers see it.
#[derive(Clone)]
pub(crate) struct Front {
    port: u16,
    /// How to speak TLS with it, for HTTP/1.1 and HTTP/2; A does, the others do not.
    tls: Option<[TlsConnector; 2]>,
    /// The counts of those who call A.
    pub(crate) tally: Tally,
}

impl Front {
    /// A, over TLS.
    pub(crate) fn of_a(tally: Tally) -> Result<Self> {
        Ok(Self {
            port: PORT,
            tls: Some([tls::connector(false, true)?, tls::connector(true, true)?]),
            tally,
        })
    }

    /// The others, whose counts end with them.
    pub(crate) fn of_others() -> [Self; 2] {
        [PORT_OF_B, PORT_OF_P].map(|port| Self {
            port,
            tls: None,
            tally: Tally::default(),
        })
    }

    /// Connects and speaks TLS, as a client of HTTP/2 or HTTP/1.1.
    pub(crate) async fn tls(&self, from: IpAddr, http2: bool) -> Result<TlsStream<TcpStream>> {
        let [http1, of_http2] = self.tls.as_ref().unwrap();
        let connector = if http2 { of_http2 } else { http1 };
        let stream = connect_to(self.port, from).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("broker.example")?;
        Ok(connector.connect(name, stream).await?)
    }

    async fn connect(&self, from: IpAddr, http2: bool) -> Result<Peer> {
        if self.tls.is_none() {
            let stream = connect_to(self.port, from).await?;
            return Ok(Peer::http1_over(stream).await);
        }
        let stream = self.tls(from, http2).await?;
        Ok(if http2 {
            Peer::http2_over(stream).await
        } else {
            Peer::http1_over(stream).await
        })
    }
}

/// The address of the AMP caches.
pub(crate) const CACHE: IpAddr = IpAddr::V4(Ipv4Addr::new(5, 210, 0, 1));

/// A client or proxy.
pub(crate) struct Caller {
    front: Front,
    from: IpAddr,
    http2: bool,
    /// Whether its connections are kept.
    keeps: bool,
    peer: Option<Peer>,
}

impl Caller {
    pub(crate) fn new(front: &Front, from: IpAddr, http2: bool, keeps: bool) -> Self {
        Self {
            front: front.clone(),
            from,
            http2,
            keeps,
            peer: None,
        }
    }

    /// Sends a request, and counts the outcome that `judge` finds in the reply.
    pub(crate) async fn send(
        &mut self,
        kind: Kind,
        path: &str,
        body: Bytes,
        judge: fn(Kind, &Reply) -> &'static str,
    ) -> Option<Reply> {
        self.send_and_leave(kind, path, body, judge, HANGS).await
    }

    /// The same, but leaves after this time.
    pub(crate) async fn send_and_leave(
        &mut self,
        kind: Kind,
        path: &str,
        body: Bytes,
        judge: fn(Kind, &Reply) -> &'static str,
        after: Duration,
    ) -> Option<Reply> {
        let peer = match self.peer.take() {
            Some(peer) => Some(peer),
            None => self.front.connect(self.from, self.http2).await.ok(),
        };
        let Some(mut peer) = peer else {
            self.front.tally.add(kind, Fate::Unreached);
            return None;
        };
        let (fate, reply) = match timeout(after, peer.try_post(path, body)).await {
            Err(_) if after < HANGS => (Fate::Left, None),
            Ok(Ok((status, body))) => {
                let reply = Reply::new(status.as_u16(), body);
                (Fate::Known(judge(kind, &reply)), Some(reply))
            }
            Ok(Err(_)) | Err(_) => (Fate::Lost, None),
        };
        self.front.tally.add(kind, fate);
        if self.keeps && reply.is_some() {
            self.peer = Some(peer);
        }
        reply
    }
}

/// A reply.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) text: String,
    /// The JSON in it, or null.
    pub(crate) json: Value,
}

impl Reply {
    fn new(status: u16, text: String) -> Self {
        let json = serde_json::from_str(&text).unwrap_or_default();
        Self { status, text, json }
    }
}
