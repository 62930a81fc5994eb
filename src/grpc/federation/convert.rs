//! Conversions of the protocol's messages, from the lender's side.

use std::time::{Duration, Instant};

use tonic::Request;

use crate::bridges::BridgeList;
use crate::broker::Broker;
use crate::broker::loan::{LoanRequest, NotLent, Supply};
use crate::grpc::deadline;
use crate::metrics::labels::LoanRefusal;
use crate::peers::protocol::{nat_type, pool_supplies, private_pool_supplies, rendezvous_method};
use crate::proto::federation::v1;
use crate::proto::federation::v1::match_offer_response::Outcome;
use crate::proto::federation::v1::refused::Reason;
use crate::proto::federation::v1::supply::State;
use crate::wire::fingerprint::Fingerprint;
use crate::wire::session_description::SessionDescription;

/// The metadata key of a call's trace (W3C Trace Context).
const TRACEPARENT: &str = "traceparent";
/// The time by which a lender reports an unanswered offer before the borrower gives up,
/// so that the borrower can tell silent proxies from a silent lender.
const MARGIN: Duration = Duration::from_millis(50);
/// The maximum number of bytes of reported bridges, about 40,000 bridges: a borrower
/// reads at most 1 MiB.
const BRIDGES_BYTES_MAX: usize = 900_000;

/// The loan that a borrower asks for; `None` if the request is invalid.
pub(super) fn loan_request(
    request: Request<v1::MatchOfferRequest>,
    now: Instant,
    broker: &Broker,
) -> Option<LoanRequest> {
    let metadata = request.metadata();
    let time = deadline::time_left(metadata.as_ref()).unwrap_or_else(|| broker.client_timeout());
    let traceparent = metadata
        .get(TRACEPARENT)
        .and_then(|value| value.to_str().ok())
        .map(ToOwned::to_owned);
    let asked = request.into_inner();
    Some(LoanRequest {
        offer: SessionDescription::parse(&asked.offer).ok()?,
        nat: nat_type(asked.nat()),
        fingerprint: Fingerprint::from_bytes(&asked.fingerprint)?,
        rendezvous: rendezvous_method(asked.rendezvous()),
        attempt: usize::try_from(asked.attempt).ok().filter(|nth| *nth > 0)?,
        arrived: now,
        deadline: now + time.saturating_sub(MARGIN),
        traceparent,
    })
}

pub(super) fn answer(answer: &SessionDescription) -> v1::MatchOfferResponse {
    let answer = answer.text();
    response(Outcome::Answer(v1::Answer { answer }))
}

pub(super) fn not_lent(not_lent: NotLent) -> v1::MatchOfferResponse {
    response(match not_lent {
        NotLent::NoProxies => Outcome::NoProxies(v1::NoProxies {}),
        NotLent::TimedOut => Outcome::TimedOut(v1::TimedOut {}),
        NotLent::Refused(reason) => Outcome::Refused(v1::Refused {
            reason: refusal(reason).into(),
        }),
    })
}

fn response(outcome: Outcome) -> v1::MatchOfferResponse {
    v1::MatchOfferResponse {
        outcome: Some(outcome),
    }
}

fn refusal(reason: LoanRefusal) -> Reason {
    match reason {
        LoanRefusal::Other => Reason::Unspecified,
        LoanRefusal::NotLending => Reason::NotLending,
        LoanRefusal::OverRate => Reason::OverRate,
        LoanRefusal::TooManyInFlight => Reason::TooManyInFlight,
        LoanRefusal::UnknownBridge => Reason::UnknownBridge,
        LoanRefusal::Draining => Reason::Draining,
        LoanRefusal::Malformed => Reason::Malformed,
        LoanRefusal::Overloaded => Reason::Overloaded,
        LoanRefusal::NoTimeLeft => Reason::NoTimeLeft,
    }
}

/// The supply that a borrower may use.
pub(super) fn supply(supply: &Supply) -> v1::Supply {
    let without = |state: State| v1::Supply {
        state: state.into(),
        pools: pool_supplies(Default::default()),
        ..v1::Supply::default()
    };
    match supply {
        Supply::Lending {
            proxies,
            private_pools,
            ..
        } => v1::Supply {
            state: State::Lending.into(),
            pools: pool_supplies(*proxies),
            private_pools: private_pool_supplies(private_pools),
            bridges: None,
        },
        Supply::Draining => without(State::Draining),
        Supply::NotLending => without(State::NotLending),
    }
}

/// The bridges of this broker that take new clients.
pub(super) fn bridges(list: &BridgeList) -> v1::Bridges {
    /// The field's tag and length.
    const OVERHEAD: usize = 2;
    let mut bytes = 0;
    let bridges = list
        .taking_clients()
        .map(|fingerprint| fingerprint.as_bytes().to_vec());
    let fingerprints = bridges.take_while(|fingerprint| {
        bytes += fingerprint.len() + OVERHEAD;
        bytes <= BRIDGES_BYTES_MAX
    });
    v1::Bridges {
        fingerprints: fingerprints.collect(),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::bridges::{AddressState, BridgeAddress};

    fn told(digits: usize) -> v1::Bridges {
        let bridge = BridgeAddress::new(String::new(), "wss://a.example/").unwrap();
        let named = |number| format!("{number:0digits$x}").parse().unwrap();
        let list = (0..45_000).map(|number| (named(number), bridge.clone()));
        bridges(&list.collect())
    }

    #[test]
    fn bridges_that_take_no_clients_are_not_told() {
        let address = |number, state| {
            let address = BridgeAddress::new(String::new(), "wss://a.example/").unwrap();
            let name = format!("{number:040x}").parse().unwrap();
            (name, BridgeAddress { state, ..address })
        };
        let list = [
            address(1, AddressState::Drain),
            address(2, AddressState::Up),
        ];
        let told = bridges(&list.into_iter().collect()).fingerprints;
        assert_eq!(told.concat().last(), Some(&2));
        assert_eq!(told.len(), 1);
    }

    /// Whatever their names, borrowers can read the report.
    #[test]
    fn not_all_of_very_many_bridges_are_told() {
        assert_eq!(told(40).fingerprints.len(), 40_909);
        assert_eq!(told(64).fingerprints.len(), 26_470);
        for digits in [40, 64] {
            assert!(told(digits).encoded_len() <= BRIDGES_BYTES_MAX);
        }
    }
}
