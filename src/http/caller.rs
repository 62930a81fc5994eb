//! Who sends a request, as far as its connection and headers tell.

use http::request::Parts;

use crate::broker::{Caller, Origin, clock};
use crate::listener::Peer;

use super::Settings;
use super::client_address::{ClientAddress, client_address};

/// The sender of a request whose head has just arrived.
pub(super) fn caller(head: &Parts, settings: &Settings) -> Caller {
    let address = address(head, settings);
    Caller {
        arrived: clock::now(),
        address: address.map(ClientAddress::ip),
        origin: origin(address, settings),
    }
}

/// The same for a request that an AMP cache passes on: its sender is not known.
pub(super) fn behind_cache(head: &Parts, settings: &Settings) -> Caller {
    Caller {
        arrived: clock::now(),
        address: None,
        origin: match origin(address(head, settings), settings) {
            Origin::Sender(cache) => Origin::Intermediary(cache),
            origin => origin,
        },
    }
}

fn address(head: &Parts, settings: &Settings) -> Option<ClientAddress> {
    let peer = head.extensions.get::<Peer>()?;
    Some(client_address(peer.0.ip(), &head.headers, settings))
}

/// Whom to count a request against. A header that names nobody makes an
/// intermediary only of a peer that is believed: a stranger may send one too.
fn origin(address: Option<ClientAddress>, settings: &Settings) -> Origin {
    match address {
        // Without a connection, it comes from this very process.
        None => Origin::Local,
        Some(address) if address.is_local() => Origin::Local,
        Some(ClientAddress::Hidden(peer)) if settings.believes(peer) => Origin::Intermediary(peer),
        Some(address) => Origin::Sender(address.ip()),
    }
}
