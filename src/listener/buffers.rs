//! Memory of a connection that is not ours to free: of the kernel, and of TLS.

use std::io;
use std::os::fd::AsFd;

use rustix::net::sockopt;

/// The ciphertext that rustls keeps of a connection whose peer does not take it, in
/// bytes at most.
const TLS_UNSENT: usize = 64 * 1024;

/// The bytes that the kernel keeps of a connection: those that we have not read, and
/// those that its peer has not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buffers {
    receive: usize,
    send: usize,
}

/// Those of everybody. Left alone the kernel would take megabytes of each peer that
/// sends and does not read. Our responses are short.
pub(super) const USUAL: Buffers = Buffers {
    receive: 32 * 1024,
    send: 8 * 1024,
};

/// Those of whoever has no share of the memory: of a CDN many requests come over
/// each connection.
const LARGE: Buffers = Buffers {
    receive: 32 * 1024,
    send: 32 * 1024,
};

impl Buffers {
    /// Of a connection whose peer has no share of the memory, or has one.
    pub(super) fn of(is_exempt: bool) -> Self {
        if is_exempt { LARGE } else { USUAL }
    }

    /// Gives a socket these, and to a listening one all connections that come by it.
    pub(super) fn set(self, socket: impl AsFd) -> io::Result<()> {
        sockopt::set_socket_recv_buffer_size(&socket, self.receive)?;
        sockopt::set_socket_send_buffer_size(&socket, self.send)?;
        Ok(())
    }

    /// Gives a connection these, unless it has them from its listener. If that fails
    /// it is slower, and no more.
    pub(super) fn give(self, connection: impl AsFd) {
        if self != USUAL {
            let _ = self.set(connection);
        }
    }

    /// The most bytes that a connection takes in them, and in TLS: Linux takes twice
    /// as much as it is asked for (socket(7)).
    pub(super) fn most(self, is_tls: bool) -> usize {
        let kernel = 2 * (self.receive + self.send);
        kernel + if is_tls { TLS_UNSENT } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::accounts::{Bounds, SHARES};

    #[test]
    fn the_room_for_connections_that_do_not_read_is_documented() {
        let documentation = include_str!("../../docs/limits.md");
        let share = Bounds::default().bytes / SHARES[0];
        let [plain, tls] = [false, true].map(|is_tls| share / USUAL.most(is_tls));
        let sentence = format!(
            "an address has room for {plain} connections that do not\nread, or {tls} over TLS"
        );
        assert!(documentation.contains(&sentence), "{sentence}");
    }
}
