//! Where calls come in: takes connections, does the TLS handshake where there
//! is one, and passes them on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::connection::Connection;
use crate::broker::clock;
use crate::telemetry::LogLimit;

/// How many connections may be open; further ones wait.
const CONNECTIONS_MAX: usize = 1_000;
/// How long a caller may take over the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to leave the kernel alone when it has no socket for us.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// So many failed handshakes are logged in a period.
const LOGGED_MAX: u32 = 10;
const LOG_PERIOD: Duration = Duration::from_mins(1);

/// The way in.
#[derive(Debug)]
pub struct Entrance {
    /// The setting that says where it is.
    setting: &'static str,
    /// What a handshake is done with; none where connections are in the clear.
    tls: ArcSwapOption<ServerConfig>,
    failed_handshakes: LogLimit,
}

impl Entrance {
    /// Where `setting` says, over TLS if there is a configuration of it.
    pub fn new(setting: &'static str, tls: Option<ServerConfig>) -> Self {
        Self {
            setting,
            tls: ArcSwapOption::from_pointee(tls),
            failed_handshakes: LogLimit::new(LOGGED_MAX, LOG_PERIOD),
        }
    }

    /// Connections that come from now on are over this TLS.
    pub fn set_tls(&self, tls: Option<ServerConfig>) {
        self.tls.store(tls.map(Arc::new));
    }

    fn handshake_failed(&self, problem: &str) {
        if let Some(suppressed) = self.failed_handshakes.admit(clock::now()) {
            let setting = self.setting;
            tracing::info!(problem, suppressed, "{setting}: a TLS handshake failed");
        }
    }
}

/// What connections come from.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket.
    Unix(UnixListener),
    /// An address and port.
    Tcp(TcpListener),
}

/// Passes on connections until nobody takes them any more.
pub async fn run(
    listener: Listener,
    entrance: Arc<Entrance>,
    out: mpsc::Sender<io::Result<Connection>>,
) {
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
                let (entrance, out) = (Arc::clone(&entrance), out.clone());
                handshakes.spawn(async move {
                    if let Some(connection) = accepted.connect(&entrance).await {
                        // It fails when the server is gone, and then nobody
                        // waits for the connection.
                        let _ = out.send(Ok(connection.in_place(place))).await;
                    }
                });
            }
            Err(error) => {
                let setting = entrance.setting;
                tracing::warn!(%error, "{setting}: cannot accept connections, trying again");
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
    async fn connect(self, entrance: &Entrance) -> Option<Connection> {
        let (stream, peer) = match self {
            Self::Ready(connection) => return Some(connection),
            Self::Tcp(stream, peer) => (stream, peer),
        };
        stream.set_nodelay(true).ok()?;
        let Some(tls) = entrance.tls.load_full() else {
            return Some(Connection::tcp(stream, peer));
        };
        match timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(tls).accept(stream)).await {
            Ok(Ok(stream)) => Some(Connection::tls(stream, peer)),
            Ok(Err(error)) => {
                entrance.handshake_failed(&error.to_string());
                None
            }
            Err(_) => {
                entrance.handshake_failed("it took too long");
                None
            }
        }
    }
}
