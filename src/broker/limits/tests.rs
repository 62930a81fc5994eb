use tokio::time::{advance, sleep};

use super::*;

const KINDS: [Request; 3] = [
    Request::ProxyPoll,
    Request::ClientPoll,
    Request::ProxyAnswer,
];

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

fn sender(address: &str) -> RequestOrigin {
    RequestOrigin::Sender(ip(address))
}

/// One request of each kind a minute, and `burst` at once.
fn bursts_of(burst: u32) -> Settings {
    Settings {
        proxy_polls_per_minute: 1,
        proxy_poll_burst: burst,
        client_polls_per_minute: 1,
        client_poll_burst: burst,
        answers_per_minute: 1,
        answer_burst: burst,
        intermediary_factor: 3,
        ..Settings::default()
    }
}

fn limits(settings: Settings) -> Limits {
    Limits::new(settings, LimitKey::from([7; 16]))
}

const MINUTE: Duration = Duration::from_mins(1);

fn admits(limits: &Limits, request: Request, origin: RequestOrigin) -> bool {
    limits.admits(request, origin, || None)
}

/// The number of a hundred simultaneous requests that are admitted.
fn admitted(limits: &Limits, request: Request, origin: RequestOrigin) -> usize {
    let requests = (0..100).filter(|_| admits(limits, request, origin));
    requests.count()
}

#[tokio::test(start_paused = true)]
async fn each_kind_has_a_bucket_for_each_address_that_refills() {
    let limits = limits(bursts_of(2));
    for kind in KINDS {
        assert_eq!(admitted(&limits, kind, sender("192.0.2.1")), 2);
        assert_eq!(admitted(&limits, kind, sender("192.0.2.2")), 2);
    }
    advance(MINUTE).await;
    for kind in KINDS {
        assert_eq!(admitted(&limits, kind, sender("192.0.2.1")), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_64_shares_a_bucket_and_mapped_ipv4_is_ipv4() {
    let limits = limits(bursts_of(2));
    let admitted = |address| admitted(&limits, Request::ClientPoll, sender(address));
    assert_eq!(admitted("2001:db8:0:1::1"), 2);
    assert_eq!(admitted("2001:db8:0:1:ffff:ffff:ffff:ffff"), 0);
    assert_eq!(admitted("2001:db8:0:2::1"), 2);
    assert_eq!(admitted("192.0.2.1"), 2);
    assert_eq!(admitted("::ffff:192.0.2.1"), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_exempt_is_limited() {
    let exempt = vec![
        "192.0.2.0/24".parse().unwrap(),
        "2001:db8::/32".parse().unwrap(),
    ];
    let settings = bursts_of(1);
    let limits = limits(Settings { exempt, ..settings });
    for origin in [
        RequestOrigin::Local,
        sender("192.0.2.9"),
        sender("::ffff:192.0.2.9"),
        sender("2001:db8::9"),
        RequestOrigin::Intermediary(ip("192.0.2.9")),
    ] {
        assert_eq!(admitted(&limits, Request::ProxyPoll, origin), 100);
    }
    let other = sender("198.51.100.9");
    assert_eq!(admitted(&limits, Request::ProxyPoll, other), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_0_is_no_limit() {
    let limits = limits(Settings {
        proxy_polls_per_minute: 0,
        ..bursts_of(1)
    });
    let origin = sender("192.0.2.9");
    assert_eq!(admitted(&limits, Request::ProxyPoll, origin), 100);
    assert_eq!(admitted(&limits, Request::ClientPoll, origin), 1);
}

#[tokio::test(start_paused = true)]
async fn an_intermediary_may_bring_many_and_each_claimed_address_as_one() {
    let limits = limits(bursts_of(2));
    let cache = RequestOrigin::Intermediary(ip("192.0.2.1"));
    let from = |claimed: &str| limits.admits(Request::ClientPoll, cache, || Some(ip(claimed)));
    // Six requests from the cache, two of them from this client.
    assert_eq!([(); 3].map(|()| from("5.1.0.1")), [true, true, false]);
    assert_eq!([(); 2].map(|()| from("5.1.0.2")), [true, true]);
    assert_eq!([(); 2].map(|()| from("5.1.0.3")), [true, true]);
    assert!(!admits(&limits, Request::ClientPoll, cache));
    // A claim costs neither the claimed address nor other clients of the cache anything.
    let there = sender("5.1.0.1");
    assert_eq!(admitted(&limits, Request::ClientPoll, there), 2);
    let cache = sender("192.0.2.1");
    assert_eq!(admitted(&limits, Request::ClientPoll, cache), 2);
}

#[tokio::test(start_paused = true)]
async fn who_writes_into_a_queue_is_limited_by_the_address_it_claims() {
    let limits = limits(bursts_of(2));
    let from = |claimed: Option<&str>| {
        limits.admits(Request::ClientPoll, RequestOrigin::Queue, || {
            claimed.map(ip)
        })
    };
    assert_eq!([(); 3].map(|()| from(Some("5.1.0.1"))), [true, true, false]);
    assert!(from(Some("5.1.0.2")));
    // The queue has its own limit.
    assert_eq!([(); 9].map(|()| from(None)), [true; 9]);
}

#[tokio::test(start_paused = true)]
async fn new_settings_hold_at_once_and_the_same_ones_forgive_nothing() {
    let limits = limits(bursts_of(1));
    let origin = sender("192.0.2.1");
    assert_eq!(admitted(&limits, Request::ProxyPoll, origin), 1);
    limits.set(&bursts_of(1));
    assert_eq!(admitted(&limits, Request::ProxyPoll, origin), 0);
    limits.set(&bursts_of(5));
    assert_eq!(admitted(&limits, Request::ProxyPoll, origin), 5);
}

#[tokio::test(start_paused = true)]
async fn every_hour_the_key_is_another_and_nothing_is_remembered() {
    let limits = Arc::new(limits(bursts_of(100)));
    let kept = Arc::clone(&limits);
    tokio::spawn(async move { kept.keep_hours().await });
    let origin = sender("192.0.2.1");
    let hash = || {
        let key = limits.0.load().key;
        key.hash(BucketRole::Sender, "192.0.2.1/32".parse().unwrap())
    };
    let mut hashes = vec![hash()];
    for _ in 0..3 {
        assert_eq!(admitted(&limits, Request::ProxyPoll, origin), 100);
        assert!(!admits(&limits, Request::ProxyPoll, origin));
        sleep(MINUTE * 29).await;
        assert_eq!(admitted(&limits, Request::ProxyPoll, origin), 29);
        assert_eq!(hashes.last(), Some(&hash()));
        sleep(MINUTE * 31 + Duration::from_secs(1)).await;
        assert!(!hashes.contains(&hash()));
        hashes.push(hash());
    }
}

#[tokio::test(start_paused = true)]
async fn the_defaults_bear_three_hundred_proxies_behind_one_address() {
    let limits = limits(Settings::default());
    let origin = sender("192.0.2.1");
    // The proxies return together after an outage, and each tries twice more.
    for _ in 0..3 * 300 {
        assert!(admits(&limits, Request::ProxyPoll, origin));
    }
    // For more than an hour each proxy polls twice in 20 s, all at the same time.
    for _ in 0..200 {
        advance(Duration::from_secs(20)).await;
        for _ in 0..2 * 300 {
            assert!(admits(&limits, Request::ProxyPoll, origin));
            assert!(admits(&limits, Request::ProxyAnswer, origin));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_defaults_bear_a_hundred_clients_behind_one_address() {
    let limits = limits(Settings::default());
    let origin = sender("192.0.2.1");
    for _ in 0..100 {
        for _ in 0..100 {
            assert!(admits(&limits, Request::ClientPoll, origin));
        }
        advance(Duration::from_secs(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_defaults_bear_the_largest_peak_through_one_address_of_a_cache() {
    let limits = limits(Settings::default());
    let cache = RequestOrigin::Intermediary(ip("192.0.2.1"));
    for _ in 0..100 {
        for _ in 0..400 {
            assert!(admits(&limits, Request::ClientPoll, cache));
        }
        advance(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_million_addresses_lock_nobody_out_and_free_nobody() {
    let limits = limits(bursts_of(5));
    let over = sender("192.0.2.1");
    assert_eq!(admitted(&limits, Request::ClientPoll, over), 5);
    for address in 0..1_000_000_u64 {
        let network = (0x2001_0db9 << 32) | address << 16;
        let address = std::net::Ipv6Addr::from(u128::from(network) << 64 | 1);
        let origin = RequestOrigin::Sender(address.into());
        assert!(admits(&limits, Request::ClientPoll, origin));
    }
    assert!(!admits(&limits, Request::ClientPoll, over));
    assert!(admits(&limits, Request::ClientPoll, sender("192.0.2.2")));
}

/// The number of admitted requests from these addresses, each of which has a quota of
/// two.
fn admitted_from(limits: &Limits, networks: impl Iterator<Item = String>) -> usize {
    let admitted = |address: String| self::admitted(limits, Request::ClientPoll, sender(&address));
    networks.map(admitted).sum()
}

#[tokio::test(start_paused = true)]
async fn a_network_has_more_than_an_address_and_less_than_all_of_its_addresses() {
    let ipv4 = |range: std::ops::Range<u32>| range.map(|host| format!("192.0.2.{host}"));
    let limits_of_two = || limits(bursts_of(2));
    let limits = limits_of_two();
    assert_eq!(admitted_from(&limits, ipv4(0..7)), 2 * 7);
    assert_eq!(admitted_from(&limits, ipv4(7..256)), 2);
    assert_eq!(
        admitted(&limits, Request::ClientPoll, sender("192.0.3.1")),
        2
    );

    let of_56 = |range: std::ops::Range<u32>| range.map(|net| format!("2001:db8:0:{net:x}::1"));
    let limits = limits_of_two();
    assert_eq!(admitted_from(&limits, of_56(0..256)), 2 * 4);
    assert_eq!(admitted_from(&limits, of_56(256..512)), 2 * 4);
    let of_48 = (0x200..0xffff)
        .step_by(0x100)
        .map(|net| format!("2001:db8:0:{net:x}::1"));
    assert_eq!(admitted_from(&limits, of_48), 2 * (16 - 4 - 4));
    assert_eq!(admitted_from(&limits, of_56(0xff00..0x10000)), 0);
    let other = sender("2001:db8:1::1");
    assert_eq!(admitted(&limits, Request::ClientPoll, other), 2);
}

/// An address over the limit must not use up what its neighbors share.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_turned_away_takes_from_no_bucket() {
    let limits = limits(bursts_of(2));
    assert_eq!(
        admitted(&limits, Request::ClientPoll, sender("192.0.2.1")),
        2
    );
    assert_eq!(
        admitted(&limits, Request::ClientPoll, sender("192.0.2.1")),
        0
    );
    let neighbours = (2..256).map(|host| format!("192.0.2.{host}"));
    assert_eq!(admitted_from(&limits, neighbours), 2 * 7);

    // Nor does an intermediary lose anything to a runaway client.
    let cache = RequestOrigin::Intermediary(ip("198.51.100.1"));
    let from = |claimed: &str| limits.admits(Request::ClientPoll, cache, || Some(ip(claimed)));
    let wild = (0..100).filter(|_| from("5.1.0.1")).count();
    let others = (2..100)
        .filter(|host| from(&format!("5.{host}.0.1")))
        .count();
    assert_eq!((wild, others), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_claims_others_has_ten_quotas_however_many_it_claims() {
    let settings = Settings {
        unconfirmed_factor: 10,
        ..bursts_of(2)
    };
    let limits = limits(settings);
    let stranger = ip("192.0.2.1");
    let from = |peer, claimed: Option<IpAddr>| {
        let origin = RequestOrigin::Unconfirmed { peer, claimed };
        limits.admits(Request::ClientPoll, origin, || Some(ip("5.1.0.1")))
    };
    let victim = ip("5.2.0.1");
    assert_eq!(
        [(); 3].map(|()| from(stranger, Some(victim))),
        [true, true, false]
    );
    // Clients that it does not name count by their offer.
    assert_eq!([(); 3].map(|()| from(stranger, None)), [true, true, false]);
    let claimed =
        (3..100).flat_map(|net| (0..100).map(move |host| IpAddr::from([5, net, host, 1])));
    let others = claimed
        .filter(|claimed| from(stranger, Some(*claimed)))
        .count();
    let as_itself = admitted(
        &limits,
        Request::ClientPoll,
        RequestOrigin::Sender(stranger),
    );
    assert_eq!(4 + others + as_itself, 10 * 2);
    // The claimed address has lost nothing, either by itself or behind an honest proxy.
    assert_eq!(
        admitted(&limits, Request::ClientPoll, RequestOrigin::Sender(victim)),
        2
    );
    assert_eq!(
        [(); 3].map(|()| from(ip("198.51.100.1"), Some(victim))),
        [true, true, false]
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_exempt_is_limited_by_claims() {
    let exempt = vec!["192.0.2.0/24".parse().unwrap()];
    let limits = limits(Settings {
        exempt,
        ..bursts_of(1)
    });
    let from = |peer: &str, claimed: &str| {
        let (peer, claimed) = (ip(peer), Some(ip(claimed)));
        admits(
            &limits,
            Request::ClientPoll,
            RequestOrigin::Unconfirmed { peer, claimed },
        )
    };
    // An exempt address may bring any number of clients, each with its own quota.
    for host in 0..100 {
        assert!(from("192.0.2.1", &format!("5.{host}.0.1")));
        assert!(!from("192.0.2.1", &format!("5.{host}.0.1")));
    }
    // A stranger is not exempt because it claims an exempt address.
    let claims = (0..100)
        .filter(|_| from("198.51.100.1", "192.0.2.9"))
        .count();
    assert_eq!(claims, 9);
}

#[tokio::test(start_paused = true)]
async fn what_costs_more_is_owed_and_no_more_than_once() {
    let limits = limits(bursts_of(15));
    let origin = sender("192.0.2.1");
    limits.charge(Request::ClientPoll, origin, None, MALFORMED);
    assert!(limits.has_room(Request::ClientPoll, origin));
    limits.charge(Request::ClientPoll, origin, None, MALFORMED);
    assert!(!limits.has_room(Request::ClientPoll, origin));
    limits.charge(Request::ClientPoll, origin, None, MALFORMED);
    advance(MINUTE * 10).await;
    assert!(!limits.has_room(Request::ClientPoll, origin));
    advance(MINUTE).await;
    assert!(limits.has_room(Request::ClientPoll, origin));
    assert_eq!(admitted(&limits, Request::ClientPoll, origin), 1);
    // Only one kind of request from one address was charged.
    assert_eq!(admitted(&limits, Request::ProxyPoll, origin), 15);
    assert_eq!(
        admitted(&limits, Request::ClientPoll, sender("192.0.2.2")),
        15
    );
}

/// Regression: an address over its own limit used to empty the buckets of its neighbors,
/// and of all addresses claimed by the same unconfirmed remote address.
#[tokio::test(start_paused = true)]
async fn who_is_over_the_limit_costs_nobody_else_anything() {
    let claimed = |claimed: &str| RequestOrigin::Unconfirmed {
        peer: "203.0.113.1".parse().unwrap(),
        claimed: Some(claimed.parse().unwrap()),
    };
    for (bad, neighbour) in [
        (sender("192.0.2.1"), sender("192.0.2.2")),
        (sender("2001:db8::1"), sender("2001:db8:0:1::1")),
        (claimed("9.9.9.9"), claimed("8.8.8.8")),
    ] {
        let limits = limits(bursts_of(15));
        for _ in 0..1_000 {
            limits.charge(Request::ClientPoll, bad, None, MALFORMED);
        }
        assert_eq!(admitted(&limits, Request::ClientPoll, bad), 0);
        assert_eq!(admitted(&limits, Request::ClientPoll, neighbour), 15);
    }
}

#[test]
fn debug_shows_no_key() {
    let key = LimitKey::from([7; 16]);
    assert_eq!(format!("{key:?}"), "LimitKey(..)");
}
