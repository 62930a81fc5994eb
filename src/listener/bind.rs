//! Addresses to listen on.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket, lookup_host};

use super::buffers;

/// How many connections the kernel keeps for us until they are accepted.
const BACKLOG: u32 = 4096;

/// How long the kernel tries to reach a peer that is gone.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Listens on `addr`, written `HOST:PORT`, `[IPV6]:PORT`, or `:PORT` for every
/// address of the machine.
pub async fn bind(addr: &str) -> io::Result<TcpListener> {
    if let Some(port) = addr.strip_prefix(':') {
        let port = port.parse().map_err(|_| no_port(port))?;
        let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        return listen(everywhere).or_else(|error| match error.kind() {
            // A machine without IPv6.
            io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable => {
                listen(SocketAddr::from(([0, 0, 0, 0], port)))
            }
            _ => Err(error),
        });
    }
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "it names no address");
    for addr in lookup_host(addr).await? {
        match listen(addr) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Bounds what each connection of a listener costs the kernel: accepted sockets have
/// the options of the one that they came by.
pub(super) fn bound_connections(listener: &TcpListener) -> io::Result<()> {
    buffers::USUAL.set(listener)?;
    let milliseconds = u32::try_from(USER_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(listener, milliseconds)?;
    sockopt::set_tcp_nodelay(listener, true)?;
    Ok(())
}

fn no_port(port: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{port:?} is no port"))
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}
