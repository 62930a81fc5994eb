//! Memory of a connection that we cannot release: the kernel's and TLS's buffers.

use std::io;
use std::os::fd::AsFd;

use rustix::net::sockopt;

/// The maximum amount of ciphertext that rustls keeps for a peer that does not take it,
/// in bytes.
const TLS_UNSENT: usize = 64 * 1024;

/// The sizes of the kernel's buffers for a connection: for received data that we have not
/// read, and for sent data that the peer has not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buffers {
    receive: usize,
    send: usize,
}

/// The sizes for ordinary peers. By default, the kernel would use megabytes for each peer
/// that sends but does not read. Our responses are short.
pub(super) const USUAL: Buffers = Buffers {
    receive: 32 * 1024,
    send: 8 * 1024,
};

/// The sizes for peers without a share of the memory: a CDN sends many requests over each
/// connection.
const LARGE: Buffers = Buffers {
    receive: 32 * 1024,
    send: 32 * 1024,
};

impl Buffers {
    /// The sizes for a peer, depending on whether it is exempt from shares.
    pub(super) fn of(is_exempt: bool) -> Self {
        if is_exempt { LARGE } else { USUAL }
    }

    /// Applies the sizes to a socket; a listening socket passes them to its connections.
    pub(super) fn set(self, socket: impl AsFd) -> io::Result<()> {
        sockopt::set_socket_recv_buffer_size(&socket, self.receive)?;
        sockopt::set_socket_send_buffer_size(&socket, self.send)?;
        Ok(())
    }

    /// Applies the sizes to a connection, unless it inherited them. On failure, the
    /// connection is merely slower.
    pub(super) fn give(self, connection: impl AsFd) {
        if self != USUAL {
            let _ = self.set(connection);
        }
    }

    /// The maximum number of bytes that a connection uses in these buffers and in TLS:
    /// Linux allocates twice the requested size (socket(7)).
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
