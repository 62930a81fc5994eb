//! The metrics log byte by byte, and the reader that other tests use.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use snowflake_broker::geoip::CountryCode;
use snowflake_broker::metrics::distinct_ips::UniqueIps;
use snowflake_broker::metrics::labels::Rendezvous;
use snowflake_broker::metrics::rounded::Rounded;
use snowflake_broker::metrics::stats_log::StatsBlock;
use snowflake_broker::metrics::window::WindowCounts;
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::ProxyType;

use crate::support::stats_log as reader;

const EXAMPLE: &str = "\
snowflake-stats-end 2026-10-01 17:04:09 (86400 s)
snowflake-ips US=100,DE=7,FR=7,??=1
snowflake-ips-badge 1
snowflake-ips-bloco 2
snowflake-ips-iptproxy 3
snowflake-ips-standalone 4
snowflake-ips-webext 5
snowflake-ips-total 115
snowflake-idle-count 16
snowflake-proxy-poll-with-relay-url-count 24
snowflake-proxy-poll-without-relay-url-count 32
snowflake-proxy-rejected-for-relay-url-count 40
client-denied-count 24
client-restricted-denied-count 8
client-unrestricted-denied-count 8
client-nat-strict-denied-count 8
client-nat-moderate-denied-count 8
client-nat-open-denied-count 8
client-nat-unknown-denied-count 8
client-snowflake-match-count 48
client-snowflake-timeout-count 56
client-http-count 24
client-http-ips RU=16,AT=8,CN=8
client-ampcache-count 8
client-ampcache-ips IR=8
client-sqs-count 0
client-sqs-ips 
snowflake-ips-nat-restricted 10
snowflake-ips-nat-unrestricted 11
snowflake-ips-nat-unknown 12
snowflake-ips-nat-strict 13
snowflake-ips-nat-moderate 14
snowflake-ips-nat-open 15
";

fn country(code: &str) -> CountryCode {
    code.parse().expect("a country")
}

fn countries<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<CountryCode, u64> {
    counts.map(|(code, count)| (country(code), count)).into()
}

const TYPES: [ProxyType; 6] = [
    ProxyType::BADGE,
    ProxyType::BLOCO,
    ProxyType::IPTPROXY,
    ProxyType::STANDALONE,
    ProxyType::WEBEXT,
    ProxyType::UNKNOWN,
];

fn example() -> StatsBlock {
    StatsBlock {
        types: Vec::new(),
        end: SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_874_249_999),
        length: Duration::from_hours(24),
        counts: WindowCounts {
            idle: 9,
            with_relay_pattern: 24,
            without_relay_pattern: 25,
            rejected_relay_pattern: 40,
            // 21 in all: the sum is rounded, not its parts.
            denied: NatType::ALL.into_iter().zip(1..).collect(),
            matched: 41,
            timed_out: 50,
            client_polls: BTreeMap::from([
                (
                    Rendezvous::Http,
                    countries([("CN", 5), ("AT", 3), ("RU", 10)]),
                ),
                (Rendezvous::Ampcache, countries([("IR", 1)])),
            ]),
        },
        ips: UniqueIps {
            total: 115,
            by_country: countries([("DE", 7), ("FR", 7), ("US", 100), ("??", 1)]),
            by_type: TYPES.into_iter().zip(1..).collect(),
            by_nat: BTreeMap::from([
                (NatType::Restricted, 10),
                (NatType::Unrestricted, 11),
                (NatType::Unknown, 12),
                (NatType::Strict, 13),
                (NatType::Moderate, 14),
                (NatType::Open, 15),
            ]),
        },
    }
}

#[test]
fn a_block_is_written_to_the_byte() {
    assert_eq!(example().encode(), EXAMPLE);
}

/// CollecTor knows five types; more are the operator's choice.
#[test]
fn types_that_are_published_have_their_line_among_the_others() {
    let block = StatsBlock {
        types: vec![ProxyType::ORBOT_IOS, ProxyType::BADGE],
        ..example()
    };
    let more = "snowflake-ips-iptproxy 3\nsnowflake-ips-orbot-ios 0\n";
    assert_eq!(
        block.encode(),
        EXAMPLE.replace("snowflake-ips-iptproxy 3\n", more)
    );
}

#[test]
fn a_window_without_anything_has_all_lines() {
    let block = StatsBlock {
        counts: WindowCounts::default(),
        ips: UniqueIps::default(),
        ..example()
    };
    let text = block.encode();
    assert!(text.contains("\nsnowflake-ips \n"));
    assert!(text.contains("\nclient-http-ips \n"));
    assert_eq!(reader::parse(&text).map(|blocks| blocks.len()), Ok(1));
}

#[test]
fn blocks_follow_each_other_without_a_line_between() {
    let blocks = reader::parse(&EXAMPLE.repeat(3)).unwrap();
    assert_eq!(blocks.len(), 3);
    assert_eq!(blocks[2].end, "2026-10-01 17:04:09");
    assert_eq!(blocks[2].seconds, 86_400);
    assert_eq!(blocks[2].count("snowflake-ips-total"), 115);
    assert_eq!(
        blocks[2].list("client-ampcache-ips"),
        [("IR".to_owned(), 8)]
    );
}

#[test]
fn the_reader_refuses_what_tors_would() {
    for (part, wrong) in [
        ("(86400 s)", "( 86400 s)"),
        ("(86400 s)", "(86400s)"),
        ("(86400 s)", "(86400 s) "),
        ("2026-10-01", "2026-13-01"),
        ("17:04:09", "17:04:60"),
        ("2026-10-01 ", "2026-10-01T"),
        ("US=100,", "US=100,,"),
        ("??=1", "??=1,"),
        ("??=1", "?=1"),
        ("FR=7", "DE=7"),
        ("DE=7,FR=7", "FR=7,DE=7"),
        ("US=100,DE=7", "DE=7,US=100"),
        ("US=100,", "US=100,XK=50,US=20,"),
        ("badge 1", "badge 01"),
        ("badge 1", "badge +1"),
        ("badge 1", "badge  1"),
        ("badge 1", "badge 1\r"),
        ("badge 1", "badge -1"),
        ("badge 1", "badge 1.0"),
        ("badge 1\n", "badge 1\n\n"),
        ("badge 1\n", ""),
        ("badge 1\n", "badge 1\nsnowflake-ips-badge 1\n"),
        (
            "badge 1\nsnowflake-ips-bloco 2",
            "bloco 2\nsnowflake-ips-badge 1",
        ),
        ("idle-count 16", "idle-count 15"),
        ("RU=16", "RU=17"),
        ("client-sqs-ips ", "client-sqs-ips"),
        ("nat-open 15\n", "nat-open 15"),
        ("nat-open 15\n", "nat-open 15\n\n"),
        (
            "snowflake-stats-end",
            "@type snowflake-stats 1.0\nsnowflake-stats-end",
        ),
    ] {
        let text = EXAMPLE.replacen(part, wrong, 1);
        assert_ne!(text, EXAMPLE, "{part}");
        assert!(reader::parse(&text).is_err(), "{wrong:?}");
    }
}

fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![0..40_u64, 0..300_000_u64]
}

fn any_countries() -> impl Strategy<Value = BTreeMap<CountryCode, u64>> {
    let code = prop_oneof![Just("??".to_owned()), "[A-D][A-D0-9]"];
    let entry = (code, prop_oneof![1..30_u64, 1..300_000_u64]);
    prop::collection::vec(entry, 0..40).prop_map(|entries| {
        let parsed = |(code, count): (String, u64)| (country(&code), count);
        entries.into_iter().map(parsed).collect()
    })
}

fn any_counts() -> impl Strategy<Value = WindowCounts> {
    let numbers = prop::array::uniform6(any_count());
    let denied = prop::collection::btree_map(
        prop::sample::select(NatType::ALL.to_vec()),
        any_count(),
        0..6,
    );
    let client_polls = prop::collection::btree_map(
        prop::sample::select(Rendezvous::ALL.to_vec()),
        any_countries(),
        0..3,
    );
    (numbers, denied, client_polls).prop_map(|(numbers, denied, client_polls)| WindowCounts {
        idle: numbers[0],
        with_relay_pattern: numbers[1],
        without_relay_pattern: numbers[2],
        rejected_relay_pattern: numbers[3],
        matched: numbers[4],
        timed_out: numbers[5],
        denied,
        client_polls,
    })
}

fn any_ips() -> impl Strategy<Value = UniqueIps> {
    let types = prop::sample::select(ProxyType::DEFAULT.to_vec());
    let nats = prop::sample::select(NatType::ALL.to_vec());
    (
        any_count(),
        any_countries(),
        prop::collection::btree_map(types, any_count(), 0..6),
        prop::collection::btree_map(nats, any_count(), 0..6),
    )
        .prop_map(|(total, by_country, by_type, by_nat)| UniqueIps {
            total,
            by_country,
            by_type,
            by_nat,
        })
}

proptest! {
    #[test]
    fn every_block_can_be_read_and_says_what_was_counted(
        counts in any_counts(),
        ips in any_ips(),
        end in 0..4_000_000_000_u64,
        seconds in 0..1_000_000_u64,
    ) {
        let block = StatsBlock {
            end: SystemTime::UNIX_EPOCH + Duration::from_secs(end),
            length: Duration::from_secs(seconds),
            counts: counts.clone(),
            ips: ips.clone(),
            types: Vec::new(),
        };
        let blocks = reader::parse(&block.encode()).map_err(TestCaseError::fail)?;
        let read = &blocks[0];
        let round = |count| Rounded::from(count).get();
        prop_assert_eq!(read.seconds, seconds);
        prop_assert_eq!(read.count("snowflake-idle-count"), round(counts.idle));
        prop_assert_eq!(read.count("client-denied-count"), round(counts.denied.values().sum()));
        prop_assert_eq!(read.count("snowflake-ips-total"), ips.total);
        let webext = ips.by_type.get(&ProxyType::WEBEXT).copied().unwrap_or(0);
        prop_assert_eq!(read.count("snowflake-ips-webext"), webext);
        let listed: BTreeMap<CountryCode, u64> = read
            .list("snowflake-ips")
            .iter()
            .map(|(code, count)| (country(code), *count))
            .collect();
        prop_assert_eq!(listed, ips.by_country);
        for rendezvous in Rendezvous::ALL {
            let polls = counts.client_polls.get(&rendezvous).cloned().unwrap_or_default();
            let list = read.list(&format!("client-{rendezvous}-ips"));
            let listed: BTreeMap<CountryCode, u64> =
                list.iter().map(|(code, count)| (country(code), *count)).collect();
            let expected: BTreeMap<CountryCode, u64> =
                polls.iter().map(|(code, count)| (*code, round(*count))).collect();
            prop_assert_eq!(listed, expected);
            let count = read.count(&format!("client-{rendezvous}-count"));
            prop_assert_eq!(count, round(polls.values().sum()));
        }
    }
}
