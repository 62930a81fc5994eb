//! Cost of limits for a request, and memory used by a million attacking addresses.
#![expect(clippy::print_stderr, reason = "memory is not what criterion measures")]

#[path = "support/bare_broker.rs"]
mod bare_broker;
#[path = "support/resident.rs"]
mod resident;

use std::hint::black_box;
use std::net::{IpAddr, Ipv6Addr};

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use snowflake_broker::broker::limits::{self, Limits};
use snowflake_broker::broker::{Broker, Caller, RequestOrigin, clock};
use snowflake_broker::matching;
use snowflake_broker::wire::answer::ProxyAnswer;

use bare_broker::bare_broker;
use resident::resident_bytes;

const ANSWER: &[u8] =
    br#"{"Version":"1.3","Sid":"a","Answer":"{\"type\":\"answer\",\"sdp\":\"a=candidate\"}"}"#;
const ATTACKERS: u64 = 1_000_000;
/// Three tables of 4 MB, plus the allocator's overhead.
const MOST_BYTES: u64 = 32_000_000;

fn broker(limits: Option<limits::Settings>) -> Broker {
    let broker = bare_broker(matching::Settings::default());
    match limits {
        Some(limits) => broker.limited(Limits::new(limits, [1; 16].into())),
        None => broker,
    }
}

/// Sends an answer for which no client waits.
fn answer(broker: &Broker, number: u64) -> bool {
    // Each number has its own /48.
    let network = u128::from((0x2001 << 48) | number << 16);
    let address = IpAddr::from(Ipv6Addr::from(network << 64 | 1));
    let caller = Caller {
        arrived: clock::now(),
        address: Some(address),
        origin: RequestOrigin::Sender(address),
    };
    let answer = ProxyAnswer::decode(ANSWER).expect("an answer");
    // Without a cluster it is ready at once.
    let answered = broker.proxy_answer(caller, answer).now_or_never();
    black_box(answered).is_some_and(|answered| answered.is_ok())
}

fn memory(_: &mut Criterion) {
    let broker = broker(Some(limits::Settings::default()));
    let before = resident_bytes();
    for number in 0..ATTACKERS {
        assert!(answer(&broker, number));
    }
    let grown = resident_bytes().saturating_sub(before);
    eprintln!("{ATTACKERS} addresses take {} kB", grown / 1_000);
    assert!(grown < MOST_BYTES);
}

fn answers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("an answer");
    for (name, limits) in [
        ("without limits", None),
        ("with limits", Some(limits::Settings::default())),
    ] {
        let broker = broker(limits);
        let mut numbers = (0..ATTACKERS).cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| numbers.next().map(|number| answer(&broker, number)));
        });
    }
    let broker = broker(Some(limits::Settings::default()));
    while answer(&broker, 0) {}
    group.bench_function("that is over its limit", |bencher| {
        bencher.iter(|| answer(&broker, 0));
    });
}

criterion_group!(benches, memory, answers);
criterion_main!(benches);
