//! The network of one test: the broker, a stranger and many others, none of them with a
//! loopback address, because that is exempt from limits.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::namespace::ip;

/// The broker's port and addresses.
pub(crate) const PORT: u16 = 8080;
pub(crate) const BROKER: Ipv4Addr = Ipv4Addr::new(5, 250, 0, 1);
const BROKER_V6: Ipv6Addr = Ipv6Addr::new(0x2a01, 0xffff, 0, 0, 0, 0, 0, 1);

/// The attacker's address.
pub(crate) const STRANGER: Ipv4Addr = Ipv4Addr::new(5, 1, 0, 66);

/// An address in the stranger's /64, by number.
pub(crate) fn stranger_v6(number: u16) -> IpAddr {
    Ipv6Addr::new(0x2a01, 0x66, 0, 0, 0, 0, 0, number).into()
}

/// The address of someone else in their own network; IPv4 for even numbers.
pub(crate) fn somebody(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    if number.is_multiple_of(2) {
        Ipv4Addr::new(5, 100 + high, low, 7).into()
    } else {
        Ipv6Addr::new(0x2a01, 0x1000, number, 0, 0, 0, 0, 7).into()
    }
}

/// Gives the empty namespace a loopback with all addresses used here.
pub(crate) async fn make() -> Result<()> {
    ip("link set lo up").await?;
    ip("address add 5.0.0.0/8 dev lo").await?;
    // A route is the only way to have many IPv6 addresses.
    ip("-6 route add local 2a01::/16 dev lo").await?;
    fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1")?;
    // A flood from one address needs many ports and files.
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", "10000 65535")?;
    let most = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: most,
        maximum: most,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

/// Connects to the broker from this address.
pub(crate) async fn connect(from: impl Into<IpAddr>) -> std::io::Result<TcpStream> {
    connect_to(PORT, from).await
}

/// Connects to another port of the broker.
pub(crate) async fn connect_to(port: u16, from: impl Into<IpAddr>) -> std::io::Result<TcpStream> {
    let from = from.into();
    let (socket, to) = match from {
        IpAddr::V4(_) => (TcpSocket::new_v4()?, IpAddr::from(BROKER)),
        IpAddr::V6(_) => (TcpSocket::new_v6()?, IpAddr::from(BROKER_V6)),
    };
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(SocketAddr::new(to, port)).await
}
