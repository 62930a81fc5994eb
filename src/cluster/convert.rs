//! Conversions between the protocol's messages and the broker's types.

use std::time::Instant;

use crate::broker::loan::{LoanRequest, NotLent};
use crate::broker::overflow::Wanted;
use crate::matching::AskPeer;
use crate::metrics::labels::{LoanRefusal, Rendezvous, StrayAnswerFate};
use crate::peers::Ended;
use crate::proto::cluster::v1;
use crate::proto::cluster::v1::not_taken::Reason;
use crate::proto::cluster::v1::stray_answer_reply::Outcome;
use crate::proto::cluster::v1::supply::State;
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::{NatClass, NatType};
use crate::wire::session_description::SessionDescription;

/// The maximum length of session descriptions between nodes, in bytes.
pub(super) const LENGTH_MAX: usize = 100_000;

/// Encodes what this node could take; `None` stands for a node that is about to stop.
pub(super) fn supply(sequence: u64, proxies: Option<[usize; NatClass::ALL.len()]>) -> v1::Supply {
    let state = match proxies {
        Some(_) => State::Serving,
        None => State::Draining,
    };
    let pools = NatClass::ALL.into_iter().zip(proxies.unwrap_or_default());
    let pools = pools.filter(|(_, proxies)| *proxies > 0);
    v1::Supply {
        sequence,
        state: state.into(),
        pools: pools
            .map(|(pool, proxies)| of_pool(pool, proxies))
            .collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn of_pool(pool: NatClass, proxies: usize) -> v1::PoolSupply {
    let pool = match pool {
        NatClass::Open => v1::Pool::Open,
        NatClass::Moderate => v1::Pool::Moderate,
        NatClass::Strict => v1::Pool::Strict,
    };
    v1::PoolSupply {
        pool: pool.into(),
        proxies: u32::try_from(proxies).unwrap_or(u32::MAX),
    }
}

/// Encodes a client's offer for another node.
pub(super) fn offer(id: u64, deadline_ms: u64, wanted: &Wanted) -> v1::Offer {
    let AskPeer { attempt, .. } = wanted.ask;
    let want = &wanted.want;
    v1::Offer {
        id,
        deadline_ms,
        offer: want.offer.text(),
        nat: nat(want.nat).into(),
        fingerprint: want.fingerprint.as_bytes().to_vec(),
        rendezvous: rendezvous(want.rendezvous).into(),
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
        traceparent: want.traceparent.clone().unwrap_or_default(),
    }
}

/// Decodes another node's offer; `None` if it is malformed.
pub(super) fn loan_request(
    offer: v1::Offer,
    arrived: Instant,
    deadline: Instant,
) -> Option<LoanRequest> {
    if offer.offer.len() > LENGTH_MAX {
        return None;
    }
    Some(LoanRequest {
        nat: nat_type(offer.nat()),
        rendezvous: rendezvous_method(offer.rendezvous()),
        offer: SessionDescription::parse(&offer.offer).ok()?,
        fingerprint: Fingerprint::from_bytes(&offer.fingerprint)?,
        attempt: usize::try_from(offer.attempt).ok()?,
        arrived,
        deadline,
        traceparent: (!offer.traceparent.is_empty()).then_some(offer.traceparent),
    })
}

fn nat(nat: NatType) -> v1::Nat {
    match nat {
        NatType::Unknown => v1::Nat::Unknown,
        NatType::Restricted => v1::Nat::Restricted,
        NatType::Unrestricted => v1::Nat::Unrestricted,
        NatType::Strict => v1::Nat::Strict,
        NatType::Moderate => v1::Nat::Moderate,
        NatType::Open => v1::Nat::Open,
    }
}

fn nat_type(nat: v1::Nat) -> NatType {
    match nat {
        v1::Nat::Unknown => NatType::Unknown,
        v1::Nat::Restricted => NatType::Restricted,
        v1::Nat::Unrestricted => NatType::Unrestricted,
        v1::Nat::Strict => NatType::Strict,
        v1::Nat::Moderate => NatType::Moderate,
        v1::Nat::Open => NatType::Open,
    }
}

fn rendezvous(rendezvous: Rendezvous) -> v1::Rendezvous {
    match rendezvous {
        Rendezvous::Http => v1::Rendezvous::Http,
        Rendezvous::Ampcache => v1::Rendezvous::Ampcache,
        Rendezvous::Sqs => v1::Rendezvous::Sqs,
    }
}

fn rendezvous_method(rendezvous: v1::Rendezvous) -> Option<Rendezvous> {
    match rendezvous {
        v1::Rendezvous::Unspecified => None,
        v1::Rendezvous::Http => Some(Rendezvous::Http),
        v1::Rendezvous::Ampcache => Some(Rendezvous::Ampcache),
        v1::Rendezvous::Sqs => Some(Rendezvous::Sqs),
    }
}

/// The reason for which another node's offer is not taken.
pub(super) fn reason(not_lent: NotLent) -> Reason {
    match not_lent {
        NotLent::NoProxies | NotLent::TimedOut => Reason::NoProxies,
        NotLent::Refused(refusal) => match refusal {
            LoanRefusal::UnknownBridge => Reason::UnknownBridge,
            LoanRefusal::Draining => Reason::Draining,
            LoanRefusal::Malformed => Reason::Malformed,
            LoanRefusal::Overloaded => Reason::Overloaded,
            LoanRefusal::NoTimeLeft => Reason::NoTimeLeft,
            LoanRefusal::Other
            | LoanRefusal::NotLending
            | LoanRefusal::OverRate
            | LoanRefusal::TooManyInFlight => Reason::Unspecified,
        },
    }
}

/// The end of a call to a node that does not take the offer.
pub(super) fn ended(reason: Reason) -> Ended {
    match reason {
        Reason::NoProxies => Ended::NoProxies,
        Reason::Unspecified => Ended::Refused(LoanRefusal::Other),
        Reason::Draining => Ended::Refused(LoanRefusal::Draining),
        Reason::Overloaded => Ended::Refused(LoanRefusal::Overloaded),
        Reason::UnknownBridge => Ended::Refused(LoanRefusal::UnknownBridge),
        Reason::NoTimeLeft => Ended::Refused(LoanRefusal::NoTimeLeft),
        Reason::Malformed => Ended::Refused(LoanRefusal::Malformed),
    }
}

/// Encodes the outcome of another node's stray answer.
pub(super) fn outcome(fate: StrayAnswerFate) -> Outcome {
    match fate {
        StrayAnswerFate::Unknown => Outcome::Unknown,
        StrayAnswerFate::Delivered => Outcome::Delivered,
        StrayAnswerFate::ClientGone => Outcome::ClientGone,
    }
}

/// Decodes the outcome of our stray answer.
pub(super) fn fate(outcome: Outcome) -> StrayAnswerFate {
    match outcome {
        Outcome::Unspecified | Outcome::Unknown => StrayAnswerFate::Unknown,
        Outcome::Delivered => StrayAnswerFate::Delivered,
        Outcome::ClientGone => StrayAnswerFate::ClientGone,
    }
}
