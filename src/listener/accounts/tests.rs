use std::net::Ipv4Addr;

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::*;

const ROOM: usize = 1_600_000;
/// A mark that is never reached here.
const NO_MARK: usize = usize::MAX;

fn accounts() -> Arc<Accounts> {
    with_bounds(ROOM, NO_MARK)
}

fn with_bounds(bytes: usize, high_water: usize) -> Arc<Accounts> {
    Accounts::new(Bounds { bytes, high_water })
}

fn settings(max_connections: usize, max_connections_per_peer: usize) -> Settings {
    Settings {
        max_connections,
        max_connections_per_peer,
        ..Settings::default()
    }
}

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

fn from(address: &str) -> Payer {
    Payer::Address(ip(address))
}

fn is_revoked(reservation: &Reservation) -> bool {
    reservation.revoked().now_or_never().is_some()
}

#[test]
fn an_address_holds_a_sixteenth_at_most() {
    let accounts = accounts();
    let one = accounts.open(from("192.0.2.1"), 60_000).unwrap();
    one.grow(40_000).unwrap();
    assert_eq!(one.grow(1), Err(NoRoom));
    assert!(accounts.open(from("192.0.2.1"), 1).is_err());
    assert!(accounts.open(from("::ffff:192.0.2.1"), 1).is_err());
    one.shrink(1);
    one.grow(1).unwrap();
    let _other = accounts.open(from("198.51.100.1"), 100_000).unwrap();
    drop(one);
    let _again = accounts.open(from("192.0.2.1"), 100_000).unwrap();
}

#[test]
fn networks_have_larger_shares() {
    for (addresses, share) in [
        (["192.0.2.1", "192.0.2.2", "192.0.2.3"], 200_000),
        (
            ["2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1"],
            200_000,
        ),
        (
            [
                "2001:db8:0:100::1",
                "2001:db8:0:200::1",
                "2001:db8:0:300::1",
            ],
            300_000,
        ),
    ] {
        let accounts = accounts();
        let opened = addresses.map(|address| accounts.open(from(address), 100_000));
        let held: usize = opened.iter().filter(|it| it.is_ok()).count() * 100_000;
        assert_eq!(held, share, "{addresses:?}");
    }
    let accounts = accounts();
    let _one = accounts.open(from("2001:db8::1"), 100_000).unwrap();
    // The same /64.
    assert!(accounts.open(from("2001:db8::2"), 1).is_err());
}

#[test]
fn whoever_passes_on_many_has_no_share() {
    let accounts = accounts();
    let exempt = vec!["10.0.0.0/8".parse().unwrap()];
    accounts.set_exempt(exempt);
    let ours = accounts.open(from("10.0.0.1"), ROOM / 2).unwrap();
    let many = accounts.open(Payer::Many, ROOM / 2).unwrap();
    assert!(accounts.open(from("192.0.2.1"), ROOM / 16).is_err());
    drop((ours, many));
    assert_eq!(accounts.figures().bytes, 0);
}

#[test]
fn the_largest_account_makes_room_with_its_oldest_requests() {
    let accounts = accounts();
    let of = |third: u8, bytes| {
        let address = Ipv4Addr::new(198, 51, third, 1);
        accounts
            .open(Payer::Address(address.into()), bytes)
            .unwrap()
    };
    let large: Vec<Reservation> = (0..10).map(|_| of(0, 10_000)).collect();
    let others: Vec<Reservation> = (1..17).map(|third| of(third, 93_750)).collect();
    assert_eq!(accounts.figures().bytes, ROOM);
    let newcomer = of(200, 10_000);
    assert!(is_revoked(&large[0]));
    assert!(others.iter().all(|other| !is_revoked(other)) && !is_revoked(&newcomer));
    let revoked = large.iter().filter(|it| is_revoked(it)).count();
    assert_eq!(revoked as u64, accounts.figures().revoked);
}

#[test]
fn above_the_mark_connections_that_idle_go_last() {
    let accounts = accounts();
    let unlimited = settings(0, 0);
    let admit = || accounts.admit(ip("192.0.2.1"), &unlimited, 8_000).unwrap();
    let connections: Vec<Reservation> = (0..8).map(|_| admit()).collect();
    connections[3].set_idle(true);
    connections[1].set_idle(true);
    let bounds = Bounds {
        bytes: ROOM,
        high_water: 80_000,
    };
    accounts.set_bounds(bounds);
    let request = accounts.open(from("192.0.2.1"), 5_000).unwrap();
    let _other = accounts.open(from("198.51.100.1"), 20_000).unwrap();
    assert!(is_revoked(&request));
    assert!(is_revoked(&connections[3]), "the first to idle");
    let others = [0, 1, 2, 4, 5, 6, 7].map(|at| is_revoked(&connections[at]));
    assert_eq!(others, [false; 7]);
}

#[test]
fn a_connection_that_is_needed_again_stays() {
    let accounts = accounts();
    let unlimited = settings(0, 0);
    let connection = accounts.admit(ip("192.0.2.1"), &unlimited, 8_000).unwrap();
    let bounds = Bounds {
        bytes: ROOM,
        high_water: 10_000,
    };
    accounts.set_bounds(bounds);
    connection.set_idle(true);
    let request = accounts.open(from("198.51.100.1"), 5_000).unwrap();
    assert!(is_revoked(&connection));
    connection.set_idle(false);
    connection.stay();
    assert!(!is_revoked(&connection));
    // So the request must go instead.
    connection.grow(1).unwrap();
    assert!(is_revoked(&request));
}

#[test]
fn each_peer_and_all_together_have_their_limit_of_connections() {
    let accounts = accounts();
    let settings = settings(3, 2);
    let admit = |peer| accounts.admit(ip(peer), &settings, 1);
    let one = admit("192.0.2.1").unwrap();
    let _mapped = admit("::ffff:192.0.2.1").unwrap();
    assert_eq!(
        admit("192.0.2.1").unwrap_err(),
        DropCause::ConnectionsPerPeer
    );
    let _other = admit("192.0.2.2").unwrap();
    assert_eq!(admit("192.0.2.3").unwrap_err(), DropCause::Connections);
    drop(one);
    let _again = admit("192.0.2.1").unwrap();
}

#[test]
fn networks_have_a_limit_of_connections() {
    for (prefix, most) in [("192.0.2.", 4), ("2001:db8:0:", 8)] {
        let accounts = accounts();
        let settings = settings(0, 1);
        let admit = |number: u16| {
            // Each /64 is in its own /56.
            let address = if prefix.contains('.') {
                format!("{prefix}{number}")
            } else {
                format!("{prefix}{number:x}00::1")
            };
            accounts.admit(ip(&address), &settings, 1).ok()
        };
        let admitted: Vec<Reservation> = (1..20).filter_map(admit).collect();
        assert_eq!(admitted.len(), most, "{prefix}");
    }
}

#[test]
fn connections_of_one_address_weigh_an_eighth_of_the_mark_at_most() {
    let accounts = with_bounds(ROOM, 160_000);
    let unlimited = settings(0, 0);
    let admit = |peer| accounts.admit(ip(peer), &unlimited, 10_000);
    let _two = [admit("192.0.2.1").unwrap(), admit("192.0.2.1").unwrap()];
    assert_eq!(
        admit("192.0.2.1").unwrap_err(),
        DropCause::ConnectionsPerPeer
    );
    let _neighbours = [admit("192.0.2.2").unwrap(), admit("192.0.2.2").unwrap()];
    assert_eq!(
        admit("192.0.2.3").unwrap_err(),
        DropCause::ConnectionsPerPeer
    );
    let _other = admit("198.51.100.1").unwrap();
}

#[test]
fn exempt_peers_only_count_in_all() {
    let accounts = accounts();
    let exempt = vec!["10.0.0.0/8".parse().unwrap()];
    accounts.set_exempt(exempt);
    let settings = settings(4, 1);
    let admit = |peer| accounts.admit(ip(peer), &settings, 1);
    let _ours =
        ["10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2"].map(|peer| admit(peer).unwrap());
    assert_eq!(admit("10.0.0.1").unwrap_err(), DropCause::Connections);
}

#[test]
fn in_a_full_house_the_largest_network_makes_room() {
    let accounts = accounts();
    let settings = settings(100, 0);
    let admit = |third: u8, fourth| {
        let address = Ipv4Addr::new(203, 0, third, fourth);
        accounts.admit(IpAddr::from(address), &settings, 1).unwrap()
    };
    let large: Vec<Reservation> = (0..60).map(|fourth| admit(1, fourth)).collect();
    let small: Vec<Reservation> = (0..30).map(|third| admit(2 + third, 1)).collect();
    small.iter().chain(&large).for_each(|it| it.set_idle(true));
    large[0].set_idle(false);
    let _newcomers = [admit(100, 1), admit(101, 1)];
    assert!(small.iter().all(|it| !is_revoked(it)));
    let revoked: Vec<usize> = (0..60).filter(|&at| is_revoked(&large[at])).collect();
    assert_eq!(revoked, [1, 2]);
}

/// Connections that make room need a moment to end. Others were reset in that time.
#[test]
fn in_a_burst_the_last_places_are_not_for_the_network_with_most() {
    let accounts = accounts();
    let settings = settings(100, 0);
    let admit = |third: u8, fourth| {
        let address = Ipv4Addr::new(203, 0, third, fourth);
        accounts.admit(IpAddr::from(address), &settings, 1)
    };
    let large: Vec<Reservation> = (0..90).map(|fourth| admit(1, fourth).unwrap()).collect();
    for connection in &large {
        connection.set_idle(true);
    }
    let burst: Vec<_> = (90..130).map(|fourth| admit(1, fourth)).collect();
    assert_eq!(burst.iter().filter(|it| it.is_ok()).count(), 5);
    let refused: Vec<DropCause> = burst
        .iter()
        .filter_map(|it| it.as_ref().err().copied())
        .collect();
    assert_eq!(refused, [DropCause::Connections; 35]);
    let _others = [2, 3, 4, 5, 6].map(|third| admit(third, 1).unwrap());
    assert_eq!(admit(7, 1).unwrap_err(), DropCause::Connections);
}

proptest! {
    /// After any sequence of operations, the accounts contain what their holders do, and
    /// in the end nothing is left.
    #[test]
    fn nothing_is_lost_and_nothing_is_left(
        steps in prop::collection::vec((0..6_u8, 0..8_u8, 0..40_000_usize), 1..200),
        mark in 10_000..400_000_usize,
    ) {
        let accounts = with_bounds(200_000, mark);
        let unlimited = settings(6, 3);
        let mut held: Vec<(Reservation, usize)> = Vec::new();
        for (what, who, bytes) in steps {
            let address = IpAddr::from(Ipv4Addr::new(10, 0, who % 3, who));
            let at = usize::from(who) % held.len().max(1);
            match (what, held.get_mut(at)) {
                (0, _) => held.extend(
                    accounts.open(Payer::Address(address), bytes).ok().map(|it| (it, bytes)),
                ),
                (1, _) => held.extend(
                    accounts.admit(address, &unlimited, 8_000).ok().map(|it| (it, 0)),
                ),
                (2, Some((one, has))) if one.grow(bytes).is_ok() => *has += bytes,
                (3, Some((one, has))) => {
                    one.shrink(bytes);
                    *has = has.saturating_sub(bytes);
                }
                (4, Some((one, _))) => one.set_idle(bytes % 2 == 0),
                (5, Some(_)) => drop(held.swap_remove(at)),
                _ => {}
            }
            let sum: usize = held.iter().map(|(_, has)| has).sum();
            prop_assert_eq!(accounts.figures().bytes, sum);
            prop_assert!(sum <= 225_000);
        }
        drop(held);
        prop_assert!(accounts.ledger().is_empty());
    }
}
