//! The sender of a request, as far as its connection and headers reveal it.

use std::sync::Once;

use http::request::Parts;

use crate::broker::{Caller, RequestOrigin, clock};
use crate::listener::RemoteAddress;

use super::client_address::{ClientAddress, client_address};
use super::front::HttpFront;
use super::settings::Settings;

/// The sender of a request whose head has just arrived.
pub(super) fn caller(head: &Parts, settings: &Settings) -> Caller {
    let address = address(head, settings);
    Caller {
        arrived: clock::now(),
        address: address.map(ClientAddress::ip),
        origin: origin(address),
    }
}

/// Like [`caller`], for a path that AMP caches request: the sender itself is unknown.
/// Only a known cache counts as an intermediary; any other sender has the limits of a
/// client.
pub(super) fn behind_cache(head: &Parts, front: &HttpFront) -> Caller {
    let is_cache = |address| front.broker.is_intermediary(address);
    let origin = match origin(address(head, &front.settings)) {
        RequestOrigin::Sender(cache) if is_cache(cache) => RequestOrigin::Intermediary(cache),
        RequestOrigin::Unconfirmed {
            peer,
            claimed: Some(cache),
        } if is_cache(cache) => RequestOrigin::Unconfirmed {
            peer,
            claimed: None,
        },
        origin => origin,
    };
    Caller {
        arrived: clock::now(),
        address: None,
        origin,
    }
}

fn address(head: &Parts, settings: &Settings) -> Option<ClientAddress> {
    let peer = head.extensions.get::<RemoteAddress>()?;
    Some(client_address(peer.0.ip(), &head.headers, settings))
}

/// The origin that a request counts against.
fn origin(address: Option<ClientAddress>) -> RequestOrigin {
    match address {
        // A request without a connection comes from this process.
        None => RequestOrigin::Local,
        Some(ClientAddress::Direct(ip)) if ip.is_loopback() => RequestOrigin::Local,
        Some(
            ClientAddress::Direct(ip) | ClientAddress::Itself(ip) | ClientAddress::Forwarded(ip),
        ) => RequestOrigin::Sender(ip),
        Some(ClientAddress::Claimed { peer, claimed }) => {
            tell_of_claims();
            RequestOrigin::Unconfirmed {
                peer,
                claimed: Some(claimed),
            }
        }
        Some(ClientAddress::Hidden(proxy)) => RequestOrigin::Intermediary(proxy),
    }
}

/// Warns once that a peer is limited that the operator may want to trust.
fn tell_of_claims() {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        tracing::warn!(
            "an unknown peer forwards requests of others, and limits.unconfirmed_factor limits \
             all of them together: if it is your CDN or load balancer, name its networks in \
             http.trusted_proxies"
        );
    });
}
