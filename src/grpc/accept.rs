//! Where calls come in: takes connections, does the TLS handshake where there
//! is one, and passes them on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::Gate;
use super::connection::Connection;

/// How many connections may be open; further ones wait.
const CONNECTIONS_MAX: usize = 1_000;
/// How long a caller may take over the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to leave the kernel alone when it has no socket for us.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What connections come from.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket.
    Unix(UnixListener),
    /// An address and port.
    Tcp(TcpListener),
}

/// Passes on connections until nobody takes them any more.
pub async fn run(listener: Listener, gate: Arc<Gate>, out: mpsc::Sender<io::Result<Connection>>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut handshakes = JoinSet::new();
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = out.closed() => return,
        };
        // The semaphore is never closed.
        let Ok(place) = place else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = out.closed() => return,
        };
        // Those that are over are not kept.
        while handshakes.try_join_next().is_some() {}
        match accepted {
            Ok(accepted) => {
                let (gate, out) = (Arc::clone(&gate), out.clone());
                handshakes.spawn(async move {
                    if let Some(connection) = accepted.connect(&gate).await {
                        // It fails when the server is gone, and then nobody
                        // waits for the connection.
                        let _ = out.send(Ok(connection.in_place(place))).await;
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "admin.listen: cannot accept connections, trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

enum Accepted {
    Ready(Connection),
    Tcp(TcpStream, SocketAddr),
}

impl Listener {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(Accepted::Ready(Connection::unix(stream)))
            }
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Accepted::Tcp(stream, peer))
            }
        }
    }
}

impl Accepted {
    /// The connection, after the handshake if there is one; `None` if that fails.
    async fn connect(self, gate: &Gate) -> Option<Connection> {
        let (stream, peer) = match self {
            Self::Ready(connection) => return Some(connection),
            Self::Tcp(stream, peer) => (stream, peer),
        };
        stream.set_nodelay(true).ok()?;
        let Some(tls) = gate.tls.load_full() else {
            return Some(Connection::tcp(stream, peer));
        };
        match timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(tls).accept(stream)).await {
            Ok(Ok(stream)) => Some(Connection::tls(stream, peer)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "admin.listen: TLS handshake failed");
                None
            }
            Err(_) => {
                tracing::debug!("admin.listen: TLS handshake took too long");
                None
            }
        }
    }
}
