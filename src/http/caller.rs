//! Who sends a request, as far as its connection and headers tell.

use http::request::Parts;

use crate::broker::{Caller, clock};
use crate::listener::Peer;

use super::Settings;
use super::client_address::client_address;

/// The sender of a request whose head has just arrived.
pub(super) fn caller(head: &Parts, settings: &Settings) -> Caller {
    let peer = head.extensions.get::<Peer>();
    Caller {
        arrived: clock::now(),
        address: peer.map(|peer| client_address(peer.0.ip(), &head.headers, settings).ip()),
    }
}
