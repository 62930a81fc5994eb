//! Who sends a request.

use std::net::IpAddr;
use std::time::Instant;

/// The sender of a request, as far as a front knows it.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// When the request arrived.
    pub arrived: Instant,
    /// The sender's address; `None` where the front sees only somebody who
    /// passes requests on.
    pub address: Option<IpAddr>,
}
