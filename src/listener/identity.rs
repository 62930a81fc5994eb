//! The other end of a connection.

use std::net::SocketAddr;

/// The other end of the connection that a request came over; an extension of
/// each request.
#[derive(Clone, Copy, Debug)]
pub struct RemoteAddress(pub SocketAddr);
