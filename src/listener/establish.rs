//! The start of a TCP connection: the TLS handshake or the first bytes of plain HTTP, and
//! the identity of the peer.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::tls::mutual;

use super::accounts::{NoRoom, Reservation};
use super::closing::ClosingStage;
use super::handshake::{self, ChooseTls, Handshake};
use super::identity::{PeerIdentity, RemoteAddress};
use super::observer::DropCause;
use super::rules::ConnectionRules;
use super::server::{Serve, Server};
use super::slots::SlotHolder;
use super::stream::{ConnectionStream, FreshConnection};
use super::version::HttpVersion;

impl<S: Serve> Server<S> {
    /// Performs everything that precedes HTTP; `None` if that fails or completes the
    /// connection.
    pub(super) async fn begin(
        &self,
        mut stream: TcpStream,
        peer: RemoteAddress,
        rules: &ConnectionRules,
        place: &Arc<Reservation>,
        holder: Option<&Arc<SlotHolder>>,
    ) -> Option<(FreshConnection, HttpVersion)> {
        let (stream, early, version, names) = if let Some(tls) = self.tls.get() {
            let stream = Handshake::new(stream, Arc::clone(place));
            let stream = self.shake_hands(&*tls, stream, rules).await?;
            let version = HttpVersion::agreed(&stream);
            let names = holder.map(|holder| self.certificate_names(&stream, holder));
            let stream = ConnectionStream::Right(Box::new(stream));
            (stream, Vec::new(), version, names)
        } else {
            let (version, early) = self.first_bytes(&mut stream, rules).await?;
            if version == HttpVersion::Tls {
                self.observer.tls_in_the_clear();
            }
            (ConnectionStream::Left(stream), early, version, None)
        };
        let identity = holder.map(|holder| {
            Arc::new(PeerIdentity::Tcp {
                is_loopback: peer.0.ip().to_canonical().is_loopback(),
                certificate_names: names.unwrap_or_default(),
                holder: Some(Arc::clone(holder)),
            })
        });
        let is_http2 = self.http2_only.is_some();
        let version = if is_http2 {
            HttpVersion::Http2
        } else {
            version
        };
        let begun = FreshConnection {
            stream,
            early,
            address: Some(peer),
            identity,
        };
        Some((begun, version))
    }

    /// The names in a peer's certificate, which may make the peer known.
    fn certificate_names(
        &self,
        stream: &TlsStream<Handshake>,
        holder: &SlotHolder,
    ) -> Arc<[String]> {
        let certificates = stream.get_ref().1.peer_certificates();
        let certificate = certificates.and_then(<[_]>::first);
        let names = certificate.map(mutual::names).unwrap_or_default();
        if let Some(callers) = &self.http2_only
            && (callers.knows)(&names)
        {
            callers.slots.accepted(holder);
        }
        names.into()
    }

    /// The HTTP version of a plain connection and the bytes read to determine it; `None`
    /// if the connection does not begin in time.
    async fn first_bytes(
        &self,
        stream: &mut TcpStream,
        rules: &ConnectionRules,
    ) -> Option<(HttpVersion, Vec<u8>)> {
        let version = timeout(rules.settings.header_read_timeout, HttpVersion::of(stream));
        let version = tokio::select! {
            version = version => version,
            () = self.closing.reached(ClosingStage::Closing) => return None,
        };
        let Ok(version) = version else {
            self.observer.dropped(DropCause::HeadTimeout);
            return None;
        };
        version.ok()
    }

    /// The connection after its TLS handshake; `None` if it fails or completes the
    /// connection.
    async fn shake_hands(
        &self,
        tls: &ChooseTls,
        stream: Handshake,
        rules: &ConnectionRules,
    ) -> Option<TlsStream<Handshake>> {
        let handshake = timeout(
            rules.settings.tls_handshake_timeout,
            stream.make(tls, self.http2_only.is_none()),
        );
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            () = self.closing.reached(ClosingStage::Closing) => return None,
        };
        match shaken {
            Ok(Ok(stream)) => (!handshake::is_challenge(&stream)).then_some(stream),
            Ok(Err(error)) if lacks_room(&error) => {
                self.observer.dropped(DropCause::Memory);
                None
            }
            Ok(Err(error)) => {
                self.observer.handshake_failed(Some(&error));
                tracing::debug!(%error, "TLS handshake failed");
                None
            }
            Err(_) => {
                self.observer.handshake_failed(None);
                tracing::debug!("TLS handshake took too long");
                None
            }
        }
    }
}

/// Returns true if there was no room for the data to read.
fn lacks_room(error: &io::Error) -> bool {
    error.get_ref().and_then(|error| error.downcast_ref()) == Some(&NoRoom)
}
