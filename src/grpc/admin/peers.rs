//! Peers and their state.

use std::collections::BTreeMap;

use tonic::Status;

use crate::broker::Broker;
use crate::broker::loan::Terms;
use crate::broker::overflow::PeerStatus;
use crate::grpc::convert::{count, duration, pool};
use crate::grpc::pages::ListPage;
use crate::metrics::labels::{CircuitState, PeerName};
use crate::proto::admin::v1;
use crate::wire::nat::NatClass;

/// A page of the peers, sorted by name.
pub(super) fn list(
    broker: &Broker,
    asked: &v1::ListPeersRequest,
) -> Result<v1::ListPeersResponse, Status> {
    let page = ListPage::asked(asked.page_size, &asked.page_token, "peers")?;
    let borrowers = broker.control().borrowers();
    let peers = broker.control().peers();
    let (peers, next_page_token) = page.of((0..).zip(peers), |(number, _)| *number);
    let peers = peers.iter().map(|(_, status)| peer(status, &borrowers));
    Ok(v1::ListPeersResponse {
        peers: peers.collect(),
        next_page_token,
    })
}

fn peer(status: &PeerStatus, borrowers: &BTreeMap<PeerName, (Terms, usize)>) -> v1::Peer {
    let figures = &status.figures;
    let borrower = borrowers.get(&figures.name);
    let supply = NatClass::ALL.into_iter().zip(figures.supply);
    v1::Peer {
        name: figures.name.to_string(),
        borrow: status.borrows,
        lend: borrower.is_some_and(|(terms, _)| terms.lends),
        connected: figures.is_connected,
        supply: supply
            .map(|(class, proxies)| v1::PoolSupply {
                pool: pool(class).into(),
                proxies: count(proxies),
            })
            .collect(),
        supply_age: status.supply_age.map(duration),
        draining: status.is_draining,
        circuit: circuit(figures.circuit).into(),
        borrowing: count(status.borrowing),
        lending: borrower.map_or(0, |(_, in_flight)| count(*in_flight)),
        latency: status.latency.map(duration),
        problem: status.problem.clone().unwrap_or_default(),
    }
}

fn circuit(state: CircuitState) -> v1::peer::Circuit {
    match state {
        CircuitState::Closed => v1::peer::Circuit::Closed,
        CircuitState::HalfOpen => v1::peer::Circuit::HalfOpen,
        CircuitState::Open => v1::peer::Circuit::Open,
    }
}
