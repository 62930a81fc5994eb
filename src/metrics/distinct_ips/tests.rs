use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const KEY: WindowKey = WindowKey([7; 16]);
const OTHER_KEY: WindowKey = WindowKey([8; 16]);
const LIMIT: usize = DistinctIps::DEFAULT_LIMIT;

#[derive(Clone, Copy, Debug)]
struct Poll {
    number: u32,
    proxy_type: ProxyType,
    nat: NatType,
}

impl Poll {
    fn address(self) -> IpAddr {
        match self.number % 3 {
            0 => Ipv6Addr::from_bits(u128::from(self.number) << 64).into(),
            _ => Ipv4Addr::from_bits(self.number.wrapping_mul(2_654_435_769)).into(),
        }
    }

    fn country(self) -> CountryCode {
        let code = ["DE", "FR", "??"][self.number as usize / 7 % 3];
        code.parse().unwrap()
    }
}

fn record(ips: &mut DistinctIps, poll: Poll) -> bool {
    ips.record(poll.address(), poll.country(), poll.proxy_type, poll.nat)
}

fn record_all(ips: &mut DistinctIps, polls: &[Poll]) {
    for poll in polls {
        record(ips, *poll);
    }
}

/// A restart, for which another process reads the saved state.
fn restart(ips: &DistinctIps) -> DistinctIps {
    let text = serde_json::to_string(&ips.save()).unwrap();
    let saved = serde_json::from_str(&text).unwrap();
    DistinctIps::restore(OTHER_KEY, LIMIT, saved, &ProxyTypes::default())
}

fn naive(polls: &[Poll]) -> UniqueIps {
    let (mut total, mut by_country) = (BTreeSet::new(), BTreeMap::new());
    let (mut by_type, mut by_nat) = (BTreeMap::new(), BTreeMap::new());
    for poll in polls {
        let address = poll.address();
        total.insert(address);
        insert(&mut by_country, poll.country(), address);
        insert(&mut by_type, poll.proxy_type, address);
        insert(&mut by_nat, poll.nat, address);
    }
    UniqueIps {
        total: total.len() as u64,
        by_country: sizes(by_country),
        by_type: sizes(by_type),
        by_nat: sizes(by_nat),
    }
}

type Sets<L> = BTreeMap<L, BTreeSet<IpAddr>>;

fn insert<L: Ord>(sets: &mut Sets<L>, label: L, address: IpAddr) {
    sets.entry(label).or_default().insert(address);
}

fn sizes<L: Ord>(sets: Sets<L>) -> BTreeMap<L, u64> {
    let size = |(label, set): (L, BTreeSet<IpAddr>)| (label, set.len() as u64);
    sets.into_iter().map(size).collect()
}

/// Returns true if each count is within 1 % of the truth, or off by one.
fn is_close(counts: &UniqueIps, truth: &UniqueIps) -> bool {
    let close = |(count, truth): (&u64, &u64)| count.abs_diff(*truth) <= 1.max(truth / 100);
    let all = |counts: &UniqueIps| {
        [counts.total]
            .into_iter()
            .chain(counts.by_country.values().copied())
            .chain(counts.by_type.values().copied())
            .chain(counts.by_nat.values().copied())
            .collect::<Vec<u64>>()
    };
    let (counts, truth) = (all(counts), all(truth));
    counts.len() == truth.len() && counts.iter().zip(&truth).all(close)
}

fn poll(number: u32) -> Poll {
    Poll {
        number,
        proxy_type: ProxyType::DEFAULT[number as usize % 5],
        nat: NatType::ALL[number as usize / 5 % 6],
    }
}

fn polls(numbers: impl IntoIterator<Item = u32>) -> Vec<Poll> {
    numbers.into_iter().map(poll).collect()
}

#[test]
fn an_address_is_new_once_whatever_type_and_nat_it_says() {
    let mut ips = DistinctIps::new(KEY, LIMIT);
    let mut poll = poll(1);
    assert!(record(&mut ips, poll));
    assert!(!record(&mut ips, poll));
    poll.nat = NatType::Open;
    assert!(!record(&mut ips, poll));
    poll.proxy_type = ProxyType::BADGE;
    assert!(!record(&mut ips, poll));
    let counts = ips.counts();
    assert_eq!(counts.total, 1);
    assert_eq!(counts.by_type.values().sum::<u64>(), 2);
    assert_eq!(counts.by_nat.values().sum::<u64>(), 2);
}

#[test]
fn an_address_stays_in_the_country_where_it_first_was() {
    let mut ips = DistinctIps::new(KEY, LIMIT);
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    for country in ["DE", "FR"] {
        let country = country.parse().unwrap();
        ips.record(address, country, ProxyType::BADGE, NatType::Open);
    }
    let by_country = ips.counts().by_country;
    assert_eq!(by_country, BTreeMap::from([("DE".parse().unwrap(), 1)]));
}

#[test]
fn a_mapped_address_is_the_ipv4_address() {
    let mut ips = DistinctIps::new(KEY, LIMIT);
    for address in ["192.0.2.1", "::ffff:192.0.2.1", "::192.0.2.1"] {
        let address = address.parse().unwrap();
        ips.record(
            address,
            CountryCode::UNKNOWN,
            ProxyType::BADGE,
            NatType::Open,
        );
    }
    assert_eq!(ips.counts().total, 2);
}

#[test]
fn a_restart_costs_at_most_one_percent() {
    let (before, after) = (polls(0..60_000), polls(30_000..120_000));
    let mut ips = DistinctIps::new(KEY, LIMIT);
    record_all(&mut ips, &before);
    let mut ips = restart(&ips);
    assert_eq!(ips.counts(), naive(&before));
    record_all(&mut ips, &before);
    assert_eq!(ips.counts(), naive(&before));
    record_all(&mut ips, &after);
    let truth = naive(&[before, after].concat());
    println!("{} of {}", ips.counts().total, truth.total);
    assert!(is_close(&ips.counts(), &truth));
    // A second restart.
    let mut ips = restart(&ips);
    record_all(&mut ips, &polls(100_000..130_000));
    assert!(is_close(&ips.counts(), &naive(&polls(0..130_000))));
}

#[test]
fn beyond_the_limit_it_counts_by_sketch() {
    let mut ips = DistinctIps::new(KEY, 1000);
    let all = polls(0..50_000);
    record_all(&mut ips, &all);
    record_all(&mut ips, &all);
    assert_eq!(ips.seen.len(), 1000);
    assert!(is_close(&ips.counts(), &naive(&all)));
    assert!(!record(&mut ips, poll(60_000)));
    // A country first seen now also counts each address once.
    for _ in 0..2 {
        let country = "AT".parse().unwrap();
        ips.record(
            "192.0.2.1".parse().unwrap(),
            country,
            ProxyType::BADGE,
            NatType::Open,
        );
    }
    assert_eq!(ips.counts().by_country[&"AT".parse().unwrap()], 1);
}

#[test]
fn a_million_addresses_take_less_than_50_mb() {
    let mut ips = DistinctIps::new(KEY, LIMIT);
    for number in 0..1_000_000 {
        let index = number as usize;
        ips.record(
            Ipv4Addr::from_bits(number).into(),
            format!("{}{}", index % 20, index % 11)[..2]
                .parse()
                .unwrap(),
            ProxyType::DEFAULT[index % 6],
            NatType::ALL[index % 5],
        );
    }
    assert_eq!(ips.counts().total, 1_000_000);
    let countries = ips.counts().by_country.len();
    println!("{} bytes, {countries} countries", ips.heap_size());
    assert!(ips.heap_size() < 50_000_000, "{} bytes", ips.heap_size());
    let saved = serde_json::to_string(&ips.save()).unwrap();
    println!("{} bytes saved", saved.len());
}

#[test]
fn what_is_saved_depends_on_no_key_and_holds_no_address() {
    let polls = polls(0..100);
    let saved = [KEY, OTHER_KEY].map(|key| {
        let mut ips = DistinctIps::new(key, LIMIT);
        record_all(&mut ips, &polls);
        serde_json::to_string(&ips.save()).unwrap()
    });
    assert_eq!(saved[0], saved[1]);
    for poll in polls {
        assert!(!saved[0].contains(&poll.address().to_string()));
    }
}

#[test]
fn debug_shows_no_key() {
    assert_eq!(format!("{KEY:?}"), "WindowKey(..)");
}

#[test]
fn a_damaged_text_is_an_error() {
    let mut ips = DistinctIps::new(KEY, LIMIT);
    record_all(&mut ips, &polls(0..10));
    let sound = serde_json::to_string(&ips.save()).unwrap();
    serde_json::from_str::<SavedIps>(&sound).unwrap();
    for (part, damage) in [
        ("\"DE\"", "\"DEU\""),
        ("restricted", "restrict"),
        ("s17.9:", "s17.9:!"),
        ("\"count\":", "\"count\":-"),
        ("total", "totals"),
    ] {
        let damaged = sound.replacen(part, damage, 1);
        assert_ne!(damaged, sound);
        serde_json::from_str::<SavedIps>(&damaged).unwrap_err();
    }
}

fn any_poll() -> impl Strategy<Value = Poll> {
    let (types, nats) = (ProxyType::DEFAULT.to_vec(), NatType::ALL.to_vec());
    let parts = (
        0..300_u32,
        prop::sample::select(types),
        prop::sample::select(nats),
    );
    parts.prop_map(|(number, proxy_type, nat)| Poll {
        number,
        proxy_type,
        nat,
    })
}

proptest! {
    #[test]
    fn counts_are_exact_without_a_restart(polls in prop::collection::vec(any_poll(), 0..600)) {
        let mut ips = DistinctIps::new(KEY, LIMIT);
        let mut addresses = BTreeSet::new();
        for poll in &polls {
            let new = addresses.insert(poll.address());
            prop_assert_eq!(record(&mut ips, *poll), new);
        }
        prop_assert_eq!(ips.counts(), naive(&polls));
    }

    #[test]
    fn counts_are_close_with_a_restart_at_any_time(
        polls in prop::collection::vec(any_poll(), 0..600),
        at in any::<prop::sample::Index>(),
    ) {
        let (before, after) = polls.split_at(at.index(polls.len() + 1));
        let mut ips = DistinctIps::new(KEY, LIMIT);
        record_all(&mut ips, before);
        let mut ips = restart(&ips);
        record_all(&mut ips, after);
        prop_assert!(is_close(&ips.counts(), &naive(&polls)));
    }
}
