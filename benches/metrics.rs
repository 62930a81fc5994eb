//! Cost of counting a poll, and of publishing and saving the counts.
//!
//! Target: all counting for one poll in less than a microsecond. Run with `cargo bench
//! --bench metrics`.

#[path = "support/all_series.rs"]
mod all_series;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use all_series::{all_series, proxy_poll};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use snowflake_broker::broker::clock;
use snowflake_broker::geoip::CountryCode;
use snowflake_broker::metrics::distinct_ips::{DistinctIps, WindowKey};
use snowflake_broker::metrics::exposition::Format;
use snowflake_broker::metrics::ip_recordings::IpRecorder;
use snowflake_broker::metrics::labels::{Endpoint, Rendezvous, StatusCode};
use snowflake_broker::metrics::{GaugeSnapshot, ProcessFigures};
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::{ProxyType, ProxyTypes};

/// The addresses that the largest broker sees in a day.
const ADDRESSES: u32 = 200_000;

/// Distinct addresses, shuffled.
fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(number.wrapping_mul(2_654_435_769)).into()
}

/// A hundred countries, each with half of the addresses of the previous one.
fn country(number: u32) -> CountryCode {
    let rank = number.trailing_ones() * 7 + number % 7;
    let letter = |number: u32| b"ABCDEFGHIJ"[number as usize % 10];
    CountryCode::from_bytes(&[letter(rank / 10), letter(rank)]).unwrap_or_default()
}

fn record(ips: &mut DistinctIps, number: u32) -> bool {
    let proxy_type = ProxyType::DEFAULT[number as usize % 6];
    let nat = NatType::ALL[number as usize % 4];
    ips.record(black_box(address(number)), country(number), proxy_type, nat)
}

fn a_day() -> DistinctIps {
    let mut ips = DistinctIps::new(WindowKey::from([1; 16]), DistinctIps::DEFAULT_LIMIT);
    for number in 0..ADDRESSES {
        record(&mut ips, number);
    }
    ips
}

fn distinct_ips(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("distinct_ips");
    let mut ips = a_day();
    let mut numbers = (0..ADDRESSES).cycle();
    group.bench_function("an address that is known", |bencher| {
        bencher.iter(|| numbers.next().map(|number| record(&mut ips, number)));
    });
    group.sample_size(10);
    group.bench_function("200,000 addresses, all new", |bencher| {
        bencher.iter_batched(|| (), |()| a_day(), BatchSize::PerIteration);
    });
    group.bench_function("save", |bencher| bencher.iter(|| ips.save()));
    let key = WindowKey::from([2; 16]);
    let types = ProxyTypes::default();
    let restored = DistinctIps::restore(key, DistinctIps::DEFAULT_LIMIT, ips.save(), &types);
    group.bench_function("counts, estimated", |bencher| {
        bencher.iter(|| restored.counts());
    });
    group.finish();
}

fn recordings(criterion: &mut Criterion) {
    let mut recorder = IpRecorder::default();
    let mut numbers = (0..ADDRESSES).cycle();
    criterion.bench_function("ip_recordings: an address", |bencher| {
        bencher.iter(|| {
            let address = address(numbers.next().unwrap_or_default());
            recorder.record(black_box(address), ProxyType::WEBEXT, NatType::Unknown);
        });
    });
}

/// Sums over all possible series, which are computed at each save, status request and
/// sample.
fn sums(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sums");
    let metrics = all_series();
    let now = clock::now();
    group.bench_function("the window", |bencher| {
        bencher.iter(|| metrics.block(SystemTime::UNIX_EPOCH));
    });
    group.bench_function("the last hour", |bencher| {
        bencher.iter(|| metrics.activity(now, Duration::from_hours(1)));
    });
    group.finish();
}

/// Everything that one request counts in [`Metrics`], except the engine's events.
fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("all of a poll's metrics");
    let metrics = all_series();
    let poll = proxy_poll(ProxyType::WEBEXT, NatType::Restricted);
    for number in 0..ADDRESSES {
        metrics.proxy_seen(address(number), &poll);
    }
    let mut numbers = (0..ADDRESSES).cycle();
    group.bench_function("a proxy", |bencher| {
        bencher.iter(|| {
            let number = numbers.next().unwrap_or_default();
            let record = metrics.begin_proxy_poll(&poll);
            metrics.proxy_seen(address(number), &poll);
            record.idle();
            metrics.replies(Endpoint::Proxy, StatusCode::Ok).inc();
        });
    });
    group.bench_function("a client", |bencher| {
        bencher.iter(|| {
            let address = Some(address(numbers.next().unwrap_or_default()));
            let record = metrics.begin_client_poll(Rendezvous::Http, address, NatType::Strict);
            record.matched(1, Duration::from_secs(1), Duration::from_secs(2));
            metrics.replies(Endpoint::Client, StatusCode::Ok).inc();
        });
    });
    group.finish();
}

fn expose(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("expose");
    let metrics = all_series();
    let gauges = GaugeSnapshot::default();
    let figures = Some(ProcessFigures::default());
    for format in [Format::OpenMetrics, Format::Text] {
        let text = metrics.expose(&gauges, figures, format);
        let name = format!(
            "{format:?}: {} lines, {} bytes",
            text.lines().count(),
            text.len()
        );
        group.bench_function(name, |bencher| {
            bencher.iter(|| metrics.expose(black_box(&gauges), figures, format));
        });
    }
    group.finish();
}

criterion_group!(benches, distinct_ips, recordings, sums, records, expose);
criterion_main!(benches);
