//! Addresses to listen on.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket, lookup_host};

/// How many connections the kernel keeps for us until they are accepted.
const BACKLOG: u32 = 4096;

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
