//! Conversions between the protocol's messages and the broker's types.

use std::time::Instant;

use crate::broker::SourceTallies;
use crate::broker::loan::{LoanRequest, NotLent};
use crate::broker::overflow::Wanted;
use crate::matching::MatchTally;
use crate::metrics::labels::{LoanRefusal, PrivatePoolName, StrayAnswerFate};
use crate::peers::Ended;
use crate::peers::protocol::{
    nat, nat_type, pool_supplies, pool_word, private_pool_supplies, rendezvous, rendezvous_method,
};
use crate::proto::cluster::v1;
use crate::proto::cluster::v1::not_taken::Reason;
use crate::proto::cluster::v1::stray_answer_reply::Outcome;
use crate::proto::cluster::v1::supply::State;
use crate::wire::fingerprint::Fingerprint;
use crate::wire::nat::NatClass;
use crate::wire::session_description::SessionDescription;

/// The maximum length of session descriptions between nodes, in bytes.
pub(super) const LENGTH_MAX: usize = 100_000;

/// The supply of a node, as the others hear of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ToldSupply {
    /// Everybody's proxies; `None` stands for a node that is about to stop.
    pub(super) proxies: Option<[usize; NatClass::ALL.len()]>,
    /// The private pools that have any.
    pub(super) private_pools: Vec<(PrivatePoolName, [usize; NatClass::ALL.len()])>,
}

/// Encodes what this node could take.
pub(super) fn supply(sequence: u64, told: &ToldSupply, sources: SourceTallies) -> v1::Supply {
    let state = match told.proxies {
        Some(_) => State::Serving,
        None => State::Draining,
    };
    v1::Supply {
        sequence,
        state: state.into(),
        pools: told.proxies.map(pool_supplies).unwrap_or_default(),
        private_pools: private_pool_supplies(&told.private_pools),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        source_key: sources.key.to_vec(),
        source_tallies: sources.tallies.into_iter().map(source_tally).collect(),
        proof: None,
    }
}

fn source_tally(tally: MatchTally) -> v1::SourceTally {
    v1::SourceTally {
        id: tally.id,
        matches: tally.matches,
        growth: tally.growth,
    }
}

/// Decodes what a node says of its sources; a key of another length means nothing to us.
pub(super) fn source_tallies(supply: &v1::Supply) -> Option<SourceTallies> {
    let tallies = supply.source_tallies.iter().map(|tally| MatchTally {
        id: tally.id,
        matches: tally.matches,
        growth: tally.growth,
    });
    Some(SourceTallies {
        key: supply.source_key.as_slice().try_into().ok()?,
        tallies: tallies.collect(),
    })
}

/// Encodes a client's offer for other nodes, each of which gets it with a number of its own.
pub(super) fn offer(
    deadline_ms: u64,
    private_pool: Option<&PrivatePoolName>,
    wanted: &Wanted,
) -> v1::Offer {
    let want = &wanted.want;
    v1::Offer {
        id: 0,
        deadline_ms,
        offer: want.offer.text(),
        nat: nat(want.nat).into(),
        fingerprint: want.fingerprint.as_bytes().to_vec(),
        rendezvous: rendezvous(want.rendezvous).into(),
        attempt: u32::try_from(wanted.ask.attempt).unwrap_or(u32::MAX),
        traceparent: want.traceparent.clone().unwrap_or_default(),
        private_pool: pool_word(private_pool),
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
