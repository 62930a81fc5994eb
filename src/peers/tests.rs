use std::collections::HashSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const FRESH_FOR: Duration = Duration::from_secs(15);
const NEED: Need = Need {
    private_pool: None,
    class: NatClass::Strict,
    fingerprint: Fingerprint::DEFAULT,
};

/// No peer was asked before.
const NOBODY: BTreeSet<PeerName> = BTreeSet::new();

#[expect(clippy::disallowed_methods, reason = "an Instant to count from")]
fn now() -> Instant {
    Instant::now()
}

/// A peer of this name that may be asked.
fn peer(name: &str) -> (PeerName, BorrowingTerms) {
    let terms = BorrowingTerms {
        borrows: true,
        max_in_flight: 100,
        private_pools: SharedPools::All,
    };
    (name.into(), terms)
}

/// A report with this many open proxies.
fn open(proxies: usize) -> SupplyReport {
    let mut report = SupplyReport {
        bridges: Some(KnownBridges::These(Arc::new(HashSet::from([
            Fingerprint::DEFAULT,
        ])))),
        ..SupplyReport::default()
    };
    report.proxies[NatClass::Open as usize] = proxies;
    report
}

/// Peers `0`, `1`, ..., connected, each with the given number of proxies.
fn peers(now: Instant, proxies: &[usize]) -> Peers {
    let mut peers = Peers::new(FRESH_FOR);
    let names: Vec<String> = (0..proxies.len())
        .map(|number| number.to_string())
        .collect();
    peers.configure(names.iter().map(|name| peer(name)));
    for (name, proxies) in names.iter().zip(proxies) {
        let name = PeerName::from(&**name);
        let link = peers.connected(&name).unwrap();
        assert!(peers.reported(now, &name, link, open(*proxies)));
    }
    peers
}

fn end(peers: &mut Peers, now: Instant, peer: &PeerName, ended: Ended) {
    peers.ended(now, peer, &NEED, (Duration::from_secs(1), ended), 0.0);
}

#[test]
fn of_two_the_one_with_more_free_proxies_is_asked() {
    let now = now();
    for draws in [[0.0, 0.0], [0.9, 0.0], [0.5, 0.9]] {
        let mut peers = peers(now, &[3, 10]);
        assert_eq!(peers.choose(now, &NEED, &NOBODY, draws), Some("1".into()));
    }
}

#[test]
fn failures_and_slowness_weigh() {
    let now = now();
    let mut peers = peers(now, &[10, 10]);
    let first = PeerName::from("0");
    for _ in 0..3 {
        end(&mut peers, now, &first, Ended::TimedOut);
    }
    assert_eq!(
        peers.choose(now, &NEED, &NOBODY, [0.0; 2]),
        Some("1".into())
    );
    let second = PeerName::from("1");
    for _ in 0..20 {
        let slow = (Duration::from_secs(4), Ended::Answered);
        peers.ended(now, &second, &NEED, slow, 0.0);
    }
    assert_eq!(
        peers.choose(now, &NEED, &NOBODY, [0.0; 2]),
        Some("0".into())
    );
}

#[test]
fn failures_of_an_old_connection_do_not_weigh() {
    let now = now();
    let mut peers = peers(now, &[10, 5]);
    let first = PeerName::from("0");
    for _ in 0..20 {
        end(&mut peers, now, &first, Ended::Failed);
        end(&mut peers, now, &first, Ended::NoProxies);
    }
    let old = peers.by_name[&first].link.unwrap();
    assert!(peers.disconnected(&first, old));
    let new = peers.connected(&first).unwrap();
    assert!(peers.reported(now, &first, new, open(10)));
    assert_eq!(peers.choose(now, &NEED, &NOBODY, [0.0; 2]), Some(first));
}

#[test]
fn what_is_asked_for_is_not_there_for_the_next() {
    let now = now();
    let mut peers = peers(now, &[2]);
    for _ in 0..2 {
        assert!(peers.has_supply(now, &NEED));
        assert!(peers.choose(now, &NEED, &NOBODY, [0.0; 2]).is_some());
    }
    assert!(!peers.has_supply(now, &NEED));
    assert_eq!(peers.choose(now, &NEED, &NOBODY, [0.0; 2]), None);
    assert_eq!(peers.statuses(now)[0].borrowing, 2);
}

#[test]
fn who_has_failed_is_asked_again_without_a_new_connection() {
    let now = now();
    let mut peers = peers(now, &[10, 8]);
    let first = PeerName::from("0");
    for _ in 0..4 {
        end(&mut peers, now, &first, Ended::TimedOut);
    }
    assert_eq!(
        peers.choose(now, &NEED, &NOBODY, [0.0; 2]),
        Some("1".into())
    );
    let later = now + Duration::from_secs(5);
    assert_eq!(peers.choose(later, &NEED, &NOBODY, [0.0; 2]), Some(first));
}

#[test]
fn a_report_of_another_connection_is_not_heard() {
    let now = now();
    let mut peers = Peers::new(FRESH_FOR);
    let (name, terms) = peer("0");
    peers.configure([(name.clone(), terms)]);
    let old = peers.connected(&name).unwrap();
    assert_eq!(peers.connected(&name), None, "there is one already");
    assert!(peers.disconnected(&name, old));
    let new = peers.connected(&name).unwrap();
    assert!(!peers.reported(now, &name, old, open(1)));
    assert!(!peers.disconnected(&name, old));
    assert!(!peers.has_supply(now, &NEED));
    assert!(peers.reported(now, &name, new, open(1)));
    assert!(peers.has_supply(now, &NEED));
}

#[test]
fn who_is_out_of_the_configuration_is_forgotten_and_others_stay() {
    let now = now();
    let mut peers = peers(now, &[1, 1]);
    peers.configure([peer("1")]);
    assert_eq!(peers.statuses(now).len(), 1);
    assert_eq!(
        peers.choose(now, &NEED, &NOBODY, [0.0; 2]),
        Some("1".into())
    );
    // Calls to the removed peer may end later.
    end(&mut peers, now, &"0".into(), Ended::Failed);
}

#[test]
fn pools_that_do_not_serve_the_client_do_not_count() {
    let now = now();
    let mut peers = Peers::new(FRESH_FOR);
    let (name, terms) = peer("0");
    peers.configure([(name.clone(), terms)]);
    let link = peers.connected(&name).unwrap();
    let mut report = open(0);
    report.proxies[NatClass::Moderate as usize] = 5;
    peers.reported(now, &name, link, report);
    assert!(!peers.has_supply(now, &NEED));
    let moderate = Need {
        class: NatClass::Moderate,
        ..NEED
    };
    assert!(peers.has_supply(now, &moderate));
}

#[test]
fn proxies_of_private_pools_are_counted_apart() {
    let now = now();
    let mut peers = Peers::new(FRESH_FOR);
    let (name, terms) = peer("0");
    peers.configure([(name.clone(), terms)]);
    let link = peers.connected(&name).unwrap();
    let of_pool = |pool: &str| Need {
        private_pool: Some(pool.into()),
        ..NEED
    };
    let mut report = open(0);
    report.private_pools.insert("one".into(), [1; 3]);
    report.private_pools.insert("two".into(), [2; 3]);
    peers.reported(now, &name, link, report);
    let has = |peers: &Peers| {
        let needs = [NEED, of_pool("one"), of_pool("two"), of_pool("three")];
        needs.map(|need| peers.has_supply(now, &need))
    };
    assert_eq!(has(&peers), [false, true, true, false]);
    let one = of_pool("one");
    assert_eq!(
        peers.choose(now, &one, &NOBODY, [0.0; 2]),
        Some(name.clone())
    );
    assert_eq!(has(&peers), [false, false, true, false]);
    let two = of_pool("two");
    peers.choose(now, &two, &NOBODY, [0.0; 2]).unwrap();
    let without = (Duration::ZERO, Ended::NoProxies);
    peers.ended(now, &name, &two, without, 0.0);
    assert_eq!(has(&peers), [false; 4]);
    peers.reported(now, &name, link, open(1));
    assert_eq!(has(&peers), [true, false, false, false]);
}

proptest! {
    #[test]
    fn two_are_different_and_there(count in 2..1_000_usize, first in 0.0..=1.0, second in 0.0..=1.0) {
        let [one, other] = two_of(count, [first, second]);
        prop_assert!(one < count && other < count && one != other);
    }

    #[test]
    fn never_more_is_asked_than_there_is_or_may(
        proxies in prop::collection::vec(0..5_usize, 1..6),
        steps in prop::collection::vec((0..3_u8, 0.0..1.0, 0.0..1.0), 1..60),
    ) {
        let now = now();
        let mut peers = peers(now, &proxies);
        let mut calls: Vec<PeerName> = Vec::new();
        let mut asked_in_all = 0;
        for (step, one, other) in steps {
            match (step, calls.pop()) {
                (0, Some(peer)) => end(&mut peers, now, &peer, Ended::Answered),
                (1, Some(peer)) => end(&mut peers, now, &peer, Ended::NoProxies),
                (_, last) => {
                    calls.extend(last);
                    let can = peers.has_supply(now, &NEED);
                    let chosen = peers.choose(now, &NEED, &NOBODY, [one, other]);
                    prop_assert_eq!(chosen.is_some(), can);
                    asked_in_all += usize::from(can);
                    calls.extend(chosen);
                }
            }
        }
        prop_assert!(asked_in_all <= proxies.iter().sum::<usize>());
        let in_flight: usize = peers.statuses(now).iter().map(|peer| peer.borrowing).sum();
        prop_assert_eq!(in_flight, calls.len());
    }
}

#[test]
fn the_most_telling_problem_is_kept() {
    let problem = |words: &str, is_vague| PeerProblem {
        words: words.to_owned(),
        is_vague,
    };
    let closed = problem("connection closed", true);
    let refused = problem("UnknownCA", false);
    let (now, peer) = (now(), PeerName::from("0"));
    let mut peers = peers(now, &[1]);
    let told = |peers: &Peers| peers.statuses(now)[0].problem.clone();

    // The outcome of a call does not explain the end of a connection.
    assert!(peers.failed(&peer, &problem("over_rate", false)));
    assert!(peers.failed(&peer, &closed));
    assert!(!peers.failed(&peer, &closed));
    assert!(!peers.failed(&peer, &problem("broken pipe", true)));
    let link = peers.by_name[&peer].link.unwrap();
    assert!(peers.disconnected(&peer, link));

    assert!(peers.failed(&peer, &refused));
    assert!(!peers.failed(&peer, &closed));
    assert!(!peers.failed(&peer, &refused));
    assert_eq!(told(&peers).as_deref(), Some("UnknownCA"));
    assert!(peers.failed(&peer, &problem("connection refused", false)));

    let link = peers.connected(&peer).unwrap();
    peers.reported(now, &peer, link, open(1));
    assert_eq!(told(&peers), None);
    assert!(peers.failed(&peer, &closed));
    assert_eq!(told(&peers).as_deref(), Some("connection closed"));
}
