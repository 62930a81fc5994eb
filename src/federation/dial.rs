//! Making connections to other brokers.

use std::fmt;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::metrics::labels::PeerName;

/// Makes connections: over TCP and TLS in the program, over anything in tests.
pub trait Dial: Send + Sync + 'static {
    /// Connects and identifies the other side. The error gives the reason without
    /// addresses.
    fn dial<'a>(&'a self, target: &'a DialTarget) -> Dialing<'a>;
}

/// The future of a connection.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = io::Result<Dialed>> + Send + 'a>>;

/// A target to connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DialTarget {
    /// `HOST:PORT`.
    pub addr: String,
    /// The peer expected there; `None` if the connection is to identify it.
    pub peer: Option<PeerName>,
}

/// A connection.
pub struct Dialed {
    /// The connection's byte stream.
    pub stream: Box<dyn DialedStream>,
    /// The names that the other side has proven.
    pub names: Vec<String>,
}

impl fmt::Debug for Dialed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = &self.names;
        formatter
            .debug_struct("Dialed")
            .field("names", names)
            .finish_non_exhaustive()
    }
}

/// A byte stream in both directions.
pub trait DialedStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> DialedStream for T {}
