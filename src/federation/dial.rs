//! Connections to other brokers, however they are made.

use std::fmt;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::metrics::labels::PeerName;

/// Makes connections: the program's to TCP and TLS, a test's to whatever it has.
pub trait Dial: Send + Sync + 'static {
    /// Connects, and finds out who is there. The error says why not, without
    /// addresses.
    fn dial<'a>(&'a self, target: &'a DialTarget) -> Dialing<'a>;
}

/// Comes to a connection.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = io::Result<Dialed>> + Send + 'a>>;

/// Somebody to connect to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DialTarget {
    /// `HOST:PORT`.
    pub addr: String,
    /// The peer that has to be there; `None` if that is to be found out.
    pub peer: Option<PeerName>,
}

/// A connection.
pub struct Dialed {
    /// Its bytes.
    pub stream: Box<dyn DialedStream>,
    /// The names that the other side has proved to have.
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

/// Bytes in both directions.
pub trait DialedStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> DialedStream for T {}
