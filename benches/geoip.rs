//! Times to load the real databases (Debian's tor-geoipdb) and to look up an address.

#[path = "../tests/support/unpacked.rs"]
mod unpacked;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use snowflake_broker::geoip::GeoIp;

fn load(ipv4: &[u8], ipv6: &[u8]) -> GeoIp {
    let mut geoip = GeoIp::default();
    geoip.load_ipv4(ipv4).expect("Tor's file is sound");
    geoip.load_ipv6(ipv6).expect("Tor's file is sound");
    geoip
}

/// Numbers spread over the whole range, the same in every run.
fn spread(count: u64) -> impl Iterator<Item = u64> {
    (1..=count).map(|number| {
        let mixed = (number ^ number >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    })
}

fn ipv4_addresses() -> Vec<IpAddr> {
    let address = |number: u64| Ipv4Addr::from_bits((number >> 32) as u32).into();
    spread(100_000).map(address).collect()
}

/// The ends of the file's ranges, shuffled. Few IPv6 addresses are in use, so random ones
/// would be found without touching most of the table.
fn ipv6_addresses(content: &[u8]) -> Vec<IpAddr> {
    let text = str::from_utf8(content).expect("Tor's file is text");
    let ends: Vec<IpAddr> = text
        .lines()
        .filter_map(|line| line.split(',').nth(1)?.parse().ok())
        .collect();
    let mut shuffled: Vec<(u64, IpAddr)> = spread(ends.len() as u64).zip(ends).collect();
    shuffled.sort_unstable();
    shuffled.into_iter().map(|(_, address)| address).collect()
}

fn geoip(criterion: &mut Criterion) {
    let read = |name| std::fs::read(unpacked::file(name)).expect("a readable file");
    let (ipv4, ipv6) = (read("usr/share/tor/geoip"), read("usr/share/tor/geoip6"));
    let mut group = criterion.benchmark_group("geoip");
    group.sample_size(10);
    group.bench_function("load both files", |bencher| {
        bencher.iter_batched(|| (), |()| load(&ipv4, &ipv6), BatchSize::PerIteration);
    });
    group.sample_size(100);
    let geoip = load(&ipv4, &ipv6);
    for (name, addresses) in [("ipv4", ipv4_addresses()), ("ipv6", ipv6_addresses(&ipv6))] {
        let mut next = addresses.iter().cycle();
        group.bench_function(format!("look up {name}"), |bencher| {
            bencher.iter(|| next.next().map(|address| geoip.lookup(black_box(*address))));
        });
    }
    group.finish();
}

criterion_group!(benches, geoip);
criterion_main!(benches);
