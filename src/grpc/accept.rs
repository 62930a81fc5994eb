//! Where calls come in: takes connections, does the TLS handshake where there
//! is one, and passes them on.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustix::net::sockopt::set_tcp_user_timeout;
use rustls::{InvalidMessage, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::Level;

use super::connection::{ConnectInfo, Connection};
use super::places::{Admission, Crowd, PLACES_MAX, Place, Places};
use super::slow_down::SlowDown;
use crate::broker::clock;
use crate::causes::in_words;
use crate::metrics::Metrics;
use crate::metrics::labels::GrpcListener;
use crate::telemetry::{Kind, LogLimit};

/// How long to leave the kernel alone when it has no socket for us.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a caller may leave unacknowledged, or unread, what was sent to it, in
/// milliseconds (tcp(7)).
const USER_TIMEOUT: u32 = 30_000;

/// How long a caller may take to hear that its handshake has failed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The first byte of TLS: the type of a record of a handshake (RFC 8446 section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// So many failed handshakes, and full houses, are logged in a period.
const LOGGED_MAX: u32 = 10;
const LOG_PERIOD: Duration = Duration::from_mins(1);

/// Whether a certificate with these names is enough to be known.
type Knows = dyn Fn(&[String]) -> bool + Send + Sync;

/// The way in.
pub struct Entrance {
    listener: GrpcListener,
    /// What a handshake is done with; none where connections are in the clear.
    tls: ArcSwapOption<ServerConfig>,
    knows: Box<Knows>,
    places: Arc<Places>,
    slow_down: SlowDown,
    metrics: Arc<Metrics>,
    failed_handshakes: LogLimit,
    crowds: LogLimit,
}

impl Entrance {
    /// That of a listener, over TLS if there is a configuration of it. `knows` says
    /// by whose certificate's names a caller is known.
    pub(super) fn new(
        listener: GrpcListener,
        tls: Option<ServerConfig>,
        knows: impl Fn(&[String]) -> bool + Send + Sync + 'static,
        metrics: Arc<Metrics>,
    ) -> Self {
        let limit = |what| {
            let gist = format!("{}: {what}", listener.setting()).into();
            let level = Level::INFO;
            LogLimit::new(Kind { level, gist }, LOGGED_MAX, LOG_PERIOD)
        };
        Self {
            listener,
            tls: ArcSwapOption::from_pointee(tls),
            knows: Box::new(knows),
            places: Arc::default(),
            slow_down: SlowDown::default(),
            metrics,
            failed_handshakes: limit("failed TLS handshakes"),
            crowds: limit("connections closed because there were too many"),
        }
    }

    /// Connections that come from now on are over this TLS.
    pub fn set_tls(&self, tls: Option<ServerConfig>) {
        self.tls.store(tls.map(Arc::new));
    }

    /// The credentials of a call were accepted: its connection stays.
    pub(super) fn accepted(&self, connection: &ConnectInfo) {
        if let Some(caller) = connection.caller() {
            self.places.accepted(caller);
        }
    }

    /// The credentials of a call were refused; how long the answer has to wait.
    pub(super) fn refused(&self, connection: &ConnectInfo) -> Duration {
        self.metrics.credentials_refused(self.listener);
        let Some(caller) = connection.caller() else {
            return Duration::ZERO;
        };
        caller.refused();
        let now = clock::now();
        let pause = self.slow_down.refused(caller.network(), now);
        pause.min(caller.patience(now))
    }

    fn admit(&self, peer: SocketAddr) -> Option<Place> {
        let Admission { place, crowd } = self.places.admit(peer.ip());
        if let Some(crowd) = crowd {
            self.log_crowd(crowd, place.is_some());
        }
        place
    }

    fn log_crowd(&self, crowd: Crowd, is_admitted: bool) {
        let setting = self.listener.setting();
        let Some(suppressed) = self.crowds.admit(clock::now()) else {
            return;
        };
        if is_admitted {
            tracing::info!(
                suppressed,
                "{setting}: {crowd}: closed the oldest that has shown no credentials"
            );
        } else {
            tracing::warn!(suppressed, "{setting}: {crowd}: closed a new one");
        }
    }

    fn handshake_failed(&self, error: &io::Error) {
        let tls = error.get_ref().and_then(|error| error.downcast_ref());
        if let Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) =
            tls
        {
            self.metrics.credentials_refused(self.listener);
        }
        let not_tls = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        if tls == Some(&not_tls) {
            self.log_handshake(&format!("it is not TLS that came: {error}"));
        } else {
            self.log_handshake(&in_words(error));
        }
    }

    fn log_handshake(&self, problem: &str) {
        if let Some(suppressed) = self.failed_handshakes.admit(clock::now()) {
            let setting = self.listener.setting();
            tracing::info!(problem, suppressed, "{setting}: a TLS handshake failed");
        }
    }
}

impl fmt::Debug for Entrance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listener = &self.listener;
        formatter
            .debug_struct("Entrance")
            .field("listener", listener)
            .finish_non_exhaustive()
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
    let accepting = async {
        match listener {
            Listener::Unix(listener) => run_unix(&listener, &entrance, &out).await,
            Listener::Tcp(listener) => run_tcp(&listener, &entrance, &out).await,
        }
    };
    tokio::select! {
        () = accepting => {}
        () = out.closed() => {}
    }
}

/// Who may open a Unix socket is known; when all places are taken, others wait.
async fn run_unix(
    listener: &UnixListener,
    entrance: &Entrance,
    out: &mpsc::Sender<io::Result<Connection>>,
) {
    let places = Arc::new(Semaphore::new(PLACES_MAX));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            // It fails when the server is gone.
            Ok((stream, _)) => drop(out.send(Ok(Connection::unix(stream, place))).await),
            Err(error) => pause(entrance, &error).await,
        }
    }
}

async fn run_tcp(
    listener: &TcpListener,
    entrance: &Arc<Entrance>,
    out: &mpsc::Sender<io::Result<Connection>>,
) {
    let mut handshakes = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        // Those that are over are not kept.
        while handshakes.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let Some(place) = entrance.admit(peer) else {
                    continue;
                };
                let (entrance, out) = (Arc::clone(entrance), out.clone());
                handshakes.spawn(async move {
                    if let Some(connection) = connect(&entrance, stream, peer, place).await {
                        // It fails when the server is gone, and then nobody
                        // waits for the connection.
                        drop(out.send(Ok(connection)).await);
                    }
                });
            }
            Err(error) => pause(entrance, &error).await,
        }
    }
}

async fn pause(entrance: &Entrance, error: &io::Error) {
    let setting = entrance.listener.setting();
    tracing::warn!(%error, "{setting}: cannot accept connections, trying again");
    sleep(ACCEPT_PAUSE).await;
}

/// The connection, after the handshake if there is one; `None` if that fails.
async fn connect(
    entrance: &Entrance,
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
) -> Option<Connection> {
    stream.set_nodelay(true).ok()?;
    set_tcp_user_timeout(&stream, USER_TIMEOUT).ok()?;
    let Some(tls) = entrance.tls.load_full() else {
        return in_the_clear(entrance, stream, peer, place).await;
    };
    let caller = place.caller();
    let handshake = tokio::select! {
        handshake = TlsAcceptor::from(tls).accept(stream).into_fallible() => handshake,
        () = Arc::clone(&caller).has_to_go() => {
            entrance.log_handshake("it took too long, or there was no place for it");
            return None;
        }
    };
    let connection = match handshake {
        Ok(stream) => Connection::tls(stream, peer, place),
        Err((error, stream)) => {
            entrance.handshake_failed(&error);
            close(stream).await;
            return None;
        }
    };
    if (entrance.knows)(connection.certificate_names()) {
        entrance.places.accepted(&caller);
    }
    Some(connection)
}

/// A connection that has begun; `None` if it does not in time. A caller that speaks
/// TLS hears from HTTP/2 that it is wrong, and the operator here.
async fn in_the_clear(
    entrance: &Entrance,
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
) -> Option<Connection> {
    let mut first = [0];
    tokio::select! {
        begun = stream.peek(&mut first) => begun.ok()?,
        () = place.caller().has_to_go() => return None,
    };
    if first == [HANDSHAKE_RECORD] {
        entrance.log_handshake("it came to a port that is served in the clear");
    }
    Some(Connection::tcp(stream, peer, place))
}

/// Closes a connection whose handshake has failed. What has come and is not read
/// would make the system reset it, and the caller would not hear why.
async fn close(mut stream: TcpStream) {
    let mut rest = [0; 1024];
    let closing = async {
        stream.shutdown().await?;
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    drop(timeout(CLOSE_TIMEOUT, closing).await);
}
