//! The text form of peers.

use super::figures::seconds;
use super::table::TextTable;
use crate::causes::one_line;
use crate::proto::admin::v1;

/// A row for each peer, followed by the problems of peers that have one.
pub(in crate::admin_client) fn peers(listed: &v1::ListPeersResponse) -> String {
    if listed.peers.is_empty() {
        return "no peers\n".to_owned();
    }
    let mut table = TextTable::of_words();
    table.row([
        "peer",
        "state",
        "open",
        "moderate",
        "strict",
        "borrowing",
        "lending",
        "latency",
    ]);
    for peer in &listed.peers {
        let supply = |pool: v1::Pool| {
            let mut supply = peer.supply.iter();
            let supply = supply.find(|supply| supply.pool() == pool);
            supply.map_or(0, |supply| supply.proxies).to_string()
        };
        table.row([
            peer.name.clone(),
            state(peer).to_owned(),
            supply(v1::Pool::Open),
            supply(v1::Pool::Moderate),
            supply(v1::Pool::Strict),
            peer.borrowing.to_string(),
            peer.lending.to_string(),
            seconds(peer.latency),
        ]);
    }
    let problems = listed
        .peers
        .iter()
        .filter(|peer| !peer.problem.is_empty())
        .map(|peer| {
            let line = format!("{}: {}", peer.name, peer.problem);
            one_line(&line) + "\n"
        });
    table.to_string() + &problems.collect::<String>()
}

/// The state of the connection to a peer, in a word or two.
fn state(peer: &v1::Peer) -> &'static str {
    use v1::peer::Circuit;
    match (peer.borrow, peer.connected, peer.circuit()) {
        (false, _, _) => "not asked",
        (true, false, _) => "not connected",
        (true, true, _) if peer.draining => "draining",
        (true, true, Circuit::Open) => "left alone",
        (true, true, Circuit::HalfOpen) => "on trial",
        (true, true, _) => "connected",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_has_a_row_and_problems_follow() {
        let good = v1::Peer {
            name: "b.example".to_owned(),
            borrow: true,
            connected: true,
            supply: vec![v1::PoolSupply {
                pool: v1::Pool::Moderate.into(),
                proxies: 7,
            }],
            circuit: v1::peer::Circuit::Closed.into(),
            borrowing: 2,
            lending: 3,
            latency: Some(prost_types::Duration {
                seconds: 1,
                nanos: 500_000_000,
            }),
            ..v1::Peer::default()
        };
        let bad = v1::Peer {
            name: "c.example".to_owned(),
            borrow: true,
            problem: "cannot connect: connection refused".to_owned(),
            ..v1::Peer::default()
        };
        let listed = v1::ListPeersResponse {
            peers: vec![good, bad],
            ..v1::ListPeersResponse::default()
        };
        let expected = "\
peer       state          open  moderate  strict  borrowing  lending  latency
b.example  connected      0     7         0       2          3        1.50 s
c.example  not connected  0     0         0       0          0        -
c.example: cannot connect: connection refused
";
        assert_eq!(peers(&listed), expected);
    }
}
