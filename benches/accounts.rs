//! Cost of finding the connection to drop, among a hundred thousand connections.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use snowflake_broker::listener::Settings;
use snowflake_broker::listener::accounts::{Accounts, Bounds, Payer, Reservation};

const CONNECTIONS: u32 = 100_000;
const COST: usize = 8 * 1024;

/// An address in one of fifty thousand networks.
fn address(number: u32) -> IpAddr {
    let [_, a, b, c] = ((number / 2) << 8 | (number % 2)).to_be_bytes();
    Ipv4Addr::new(20, a, b, c).into()
}

fn settings() -> Settings {
    Settings {
        max_connections: CONNECTIONS as usize,
        max_connections_per_peer: 0,
        ..Settings::default()
    }
}

fn crowd(accounts: &Arc<Accounts>) -> Vec<Reservation> {
    let admit = |number| accounts.admit(address(number), &settings(), COST);
    (0..CONNECTIONS)
        .filter_map(|number| admit(number).ok())
        .collect()
}

fn newcomers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a newcomer of 100,000 connections");
    for (name, mostly_idle) in [("who are all busy", false), ("who mostly idle", true)] {
        let accounts = Accounts::new(Bounds {
            bytes: usize::MAX,
            high_water: usize::MAX,
        });
        let crowd = crowd(&accounts);
        for connection in &crowd {
            connection.set_idle(mostly_idle);
        }
        let settings = settings();
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(accounts.admit(address(0), &settings, COST).is_ok()));
        });
    }
    group.finish();
}

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a request beside 100,000 connections");
    let room = CONNECTIONS as usize * COST;
    for (name, high_water) in [("below the mark", 2 * room), ("above the mark", room)] {
        let accounts = Accounts::new(Bounds {
            bytes: usize::MAX,
            high_water: usize::MAX,
        });
        // All connections are busy, so none can make room.
        let _crowd = crowd(&accounts);
        let bounds = Bounds {
            bytes: usize::MAX,
            high_water,
        };
        accounts.set_bounds(bounds);
        group.bench_function(name, |bencher| {
            let payer = Payer::Address(address(0));
            bencher.iter(|| black_box(accounts.open(payer, 1_000).is_ok()));
        });
    }
    group.finish();
}

criterion_group!(benches, newcomers, requests);
criterion_main!(benches);
