//! Conversions of the protocol's messages, from the borrower's side.

use std::collections::HashSet;
use std::sync::Arc;

use crate::broker::overflow::Wanted;
use crate::metrics::labels::{LoanRefusal, PrivatePoolName};
use crate::peers::protocol::{nat, pool_word, private_pools, proxies, rendezvous};
use crate::peers::{KnownBridges, SupplyReport};
use crate::proto::federation::v1;
use crate::proto::federation::v1::refused::Reason;
use crate::proto::federation::v1::supply::State;
use crate::wire::fingerprint::Fingerprint;

/// Decodes a lender's supply, ignoring unknown values.
pub(super) fn report(supply: v1::Supply) -> SupplyReport {
    let mut report = SupplyReport {
        is_draining: supply.state() == State::Draining,
        bridges: supply.bridges.map(bridges),
        ..SupplyReport::default()
    };
    if supply.state != i32::from(State::Lending) {
        return report;
    }
    report.proxies = proxies(&supply.pools);
    report.private_pools = private_pools(&supply.private_pools);
    report
}

fn bridges(bridges: v1::Bridges) -> KnownBridges {
    let known: HashSet<_> = bridges
        .fingerprints
        .into_iter()
        .filter_map(|bytes| Fingerprint::from_bytes(&bytes))
        .collect();
    KnownBridges::These(Arc::new(known))
}

/// Encodes a client's offer for a lender.
pub(super) fn request(
    private_pool: Option<&PrivatePoolName>,
    wanted: &Wanted,
) -> v1::MatchOfferRequest {
    v1::MatchOfferRequest {
        offer: wanted.want.offer.text(),
        nat: nat(wanted.want.nat).into(),
        fingerprint: wanted.want.fingerprint.as_bytes().to_vec(),
        rendezvous: rendezvous(wanted.want.rendezvous).into(),
        attempt: u32::try_from(wanted.ask.attempt).unwrap_or(u32::MAX),
        private_pool: pool_word(private_pool),
    }
}

/// The reason why a lender did not accept an offer.
pub(super) fn refusal(reason: Reason) -> LoanRefusal {
    match reason {
        Reason::Unspecified => LoanRefusal::Other,
        Reason::NotLending => LoanRefusal::NotLending,
        Reason::OverRate => LoanRefusal::OverRate,
        Reason::TooManyInFlight => LoanRefusal::TooManyInFlight,
        Reason::UnknownBridge => LoanRefusal::UnknownBridge,
        Reason::Draining => LoanRefusal::Draining,
        Reason::Malformed => LoanRefusal::Malformed,
        Reason::Overloaded => LoanRefusal::Overloaded,
        Reason::NoTimeLeft => LoanRefusal::NoTimeLeft,
    }
}
