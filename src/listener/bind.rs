//! Binding of listening addresses.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, lookup_host};

use super::buffers;

/// The maximum number of connections that the kernel queues for accepting.
const BACKLOG: u32 = 4096;

/// The maximum length of a segment: that of networks with jumbo frames. Over the loopback
/// interface one would be as long as our whole receive buffer. Then Linux waits for room that there
/// never is, and sends a piece each 0.2 s: docs/performance.md.
const SEGMENT_MAX: u32 = 8_960;

/// The time for which the kernel tries to reach a vanished peer.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Listens on `addr`, written `HOST:PORT`, `[IPV6]:PORT`, or `:PORT` for every IPv6 and
/// IPv4 address of the machine. A host name stands for all of its addresses that this
/// machine has. Returns at least one listener, or an error.
pub async fn bind(addr: &str) -> io::Result<Vec<TcpListener>> {
    listen_with(addr, listen).await
}

/// Fails if [`bind`] would, but does not listen. An address in use counts as free: this
/// program itself may be using it.
pub async fn try_bind(addr: &str) -> io::Result<()> {
    let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    let try_one = |addr| match bound(addr) {
        Err(error) if !is_taken(&error) => Err(error),
        _ => Ok(()),
    };
    listen_with(addr, try_one).await.map(drop)
}

async fn listen_with<L>(
    addr: &str,
    listen: impl Fn(SocketAddr) -> io::Result<L>,
) -> io::Result<Vec<L>> {
    if let Some(port) = addr.strip_prefix(':') {
        let port = port.parse().map_err(|_| no_port(port))?;
        return Ok(vec![listen_everywhere(port, listen)?]);
    }
    listen_on_each(lookup_host(addr).await?, listen)
}

/// One socket for both families, or for IPv4 alone on a machine without IPv6.
fn listen_everywhere<L>(port: u16, listen: impl Fn(SocketAddr) -> io::Result<L>) -> io::Result<L> {
    let of_both = listen((Ipv6Addr::UNSPECIFIED, port).into());
    of_both.or_else(|error| {
        if is_absent(&error) {
            listen((Ipv4Addr::UNSPECIFIED, port).into())
        } else {
            Err(error)
        }
    })
}

/// Skips those addresses of a name that this machine does not have: without IPv6,
/// `localhost` still has an IPv6 address. The error names the address unless there is
/// only one.
fn listen_on_each<L>(
    addrs: impl Iterator<Item = SocketAddr>,
    listen: impl Fn(SocketAddr) -> io::Result<L>,
) -> io::Result<Vec<L>> {
    let addrs: BTreeSet<SocketAddr> = addrs.collect();
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "it names no address");
    let mut listeners = Vec::new();
    for &addr in &addrs {
        match listen(addr) {
            Ok(listener) => listeners.push(listener),
            Err(error) if is_absent(&error) || addrs.len() == 1 => failed = error,
            Err(error) => return Err(io::Error::new(error.kind(), format!("{addr}: {error}"))),
        }
    }
    if listeners.is_empty() {
        return Err(failed);
    }
    Ok(listeners)
}

/// Returns true if this machine does not have an address, or not its family: a kernel
/// without IPv6 has no such sockets, and one with IPv6 disabled has no such addresses.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
    )
}

/// Limits the kernel's resources for each connection of a listener: accepted sockets
/// inherit the listener's options.
pub(super) fn bound_connections(listener: &TcpListener) -> io::Result<()> {
    let milliseconds = u32::try_from(USER_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    // All are tried: an inherited socket may not have each option.
    [
        buffers::USUAL.set(listener),
        SockRef::from(listener).set_tcp_mss(SEGMENT_MAX),
        sockopt::set_tcp_user_timeout(listener, milliseconds).map_err(Into::into),
        sockopt::set_tcp_nodelay(listener, true).map_err(Into::into),
    ]
    .into_iter()
    .collect()
}

fn no_port(port: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{port:?} is not a port"),
    )
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    bound(addr)?.listen(BACKLOG)
}

/// Binds a socket. The unspecified IPv6 address covers both families, regardless of
/// `net.ipv6.bindv6only`.
fn bound(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    if addr.ip() == Ipv6Addr::UNSPECIFIED {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    socket.bind(addr)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    const PORT: u16 = 443;

    /// The addresses listened on, or the error, if those of IPv6 fail with `failure`.
    fn listened(failure: Option<Errno>) -> impl Fn(SocketAddr) -> io::Result<SocketAddr> {
        move |addr| match failure {
            Some(errno) if addr.is_ipv6() => Err(errno.into()),
            _ => Ok(addr),
        }
    }

    fn addr(ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), PORT)
    }

    #[test]
    fn a_port_alone_is_of_ipv6_where_there_is_any() {
        let everywhere = |failure| listen_everywhere(PORT, listened(failure));
        assert_eq!(everywhere(None).unwrap(), addr("::"));
        for absent in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            assert_eq!(everywhere(Some(absent)).unwrap(), addr("0.0.0.0"));
        }
        for problem in [Errno::ADDRINUSE, Errno::ACCESS] {
            let error = everywhere(Some(problem)).unwrap_err();
            assert_eq!(Errno::from_io_error(&error), Some(problem));
        }
    }

    /// Busy connections over the loopback interface stood still: see [`SEGMENT_MAX`].
    #[tokio::test]
    async fn several_segments_fit_into_the_buffers_of_a_connection() {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = bound(any_port).unwrap().listen(1).unwrap();
        bound_connections(&listener).unwrap();
        let connect = TcpStream::connect(listener.local_addr().unwrap());
        let (client, server) = tokio::join!(connect, listener.accept());
        let (client, (server, _)) = (client.unwrap(), server.unwrap());
        for stream in [&client, &server] {
            let segment = SockRef::from(stream).tcp_mss().unwrap();
            assert!((1..=SEGMENT_MAX).contains(&segment), "{segment}");
        }
        let buffer = SockRef::from(&server).recv_buffer_size().unwrap();
        assert!(buffer >= 4 * SEGMENT_MAX as usize, "{buffer}");
    }

    #[test]
    fn a_name_is_each_of_its_addresses_that_there_is() {
        let name = || ["::1", "127.0.0.1", "127.0.0.1"].map(addr).into_iter();
        let both = listen_on_each(name(), listened(None)).unwrap();
        assert_eq!(both, [addr("127.0.0.1"), addr("::1")]);
        for absent in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            let one = listen_on_each(name(), listened(Some(absent))).unwrap();
            assert_eq!(one, [addr("127.0.0.1")]);
            let none = listen_on_each([addr("::1")].into_iter(), listened(Some(absent)));
            assert_eq!(Errno::from_io_error(&none.unwrap_err()), Some(absent));
        }
    }

    #[test]
    fn an_address_that_is_taken_is_named_where_there_are_several() {
        let failing = |addrs: &[&str]| {
            let addrs: Vec<_> = addrs.iter().map(|ip| addr(ip)).collect();
            let taken = listened(Some(Errno::ADDRINUSE));
            listen_on_each(addrs.into_iter(), taken).unwrap_err()
        };
        let error = failing(&["127.0.0.1", "::1"]);
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with("[::1]:443: "), "{error}");
        let error = failing(&["::1"]);
        assert!(error.to_string().starts_with("Address"), "{error}");
        let nothing = listen_on_each([].into_iter(), listened(None)).unwrap_err();
        assert_eq!(nothing.to_string(), "it names no address");
    }
}
