//! TCP ports for programs that have to be told one.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Below the ports that the kernel takes by itself: a connection of another test must
/// not have one before the program listens on it.
const PORTS: Range<u16> = 10_000..32_768;

/// The address of the claims. No program here listens on it.
const CLAIMS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The UDP sockets that keep this process's ports from all other tests, which may run in
/// processes of their own.
static CLAIMED: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A port of the loopback that nobody listened on a moment ago, and that no other test
/// is given while this process runs.
pub(crate) fn free() -> io::Result<u16> {
    loop {
        let port = fastrand::u16(PORTS);
        let Ok(claim) = UdpSocket::bind((CLAIMS, port)) else {
            continue;
        };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
            claimed.push(claim);
            return Ok(port);
        }
    }
}
