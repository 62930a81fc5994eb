//! TCP ports for programs that have to be told one.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// A port of the loopback that nobody listened on a moment ago.
pub(crate) fn free() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
