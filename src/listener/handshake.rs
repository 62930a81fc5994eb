//! A connection below TLS: what comes before the handshake is over is in its
//! account.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use super::accounts::Reservation;
use super::write_through::{WriteThrough, write_through};

/// Bytes of a handshake that are not in an account: few clients send more, and
/// they are a part of what a connection costs by itself.
const FREE: usize = 4 * 1024;

/// A TCP connection over which a handshake is made.
#[derive(Debug)]
pub(super) struct Handshake {
    stream: TcpStream,
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    place: Arc<Reservation>,
    bytes: usize,
    in_account: usize,
}

impl Handshake {
    pub(super) fn new(stream: TcpStream, place: Arc<Reservation>) -> Self {
        let under_way = UnderWay {
            place,
            bytes: 0,
            in_account: 0,
        };
        Self {
            stream,
            under_way: Some(under_way),
        }
    }

    /// The handshake is over.
    pub(super) fn end(&mut self) {
        self.under_way = None;
    }
}

impl UnderWay {
    fn read(&mut self, bytes: usize) -> io::Result<()> {
        self.bytes += bytes;
        let more = self.bytes.saturating_sub(FREE + self.in_account);
        if more > 0 {
            self.place.grow(more).map_err(io::Error::other)?;
            self.in_account += more;
        }
        Ok(())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.in_account > 0 {
            self.place.shrink(self.in_account);
        }
    }
}

impl AsyncRead for Handshake {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let bytes = buffer.filled().len() - before;
        Poll::Ready(match &mut self.under_way {
            Some(handshake) => handshake.read(bytes),
            None => Ok(()),
        })
    }
}

impl WriteThrough for Handshake {
    type Inner = TcpStream;

    fn inner(&self) -> &TcpStream {
        &self.stream
    }

    fn inner_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}

write_through!(Handshake);
