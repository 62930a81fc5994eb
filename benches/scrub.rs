//! Cost of scrubbing a log line, with or without an address in it.
//!
//! Target: less than the microseconds for formatting and writing a line. Run with `cargo
//! bench --bench scrub`.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use snowflake_broker::telemetry::scrub;

const LINES: [(&str, &str); 4] = [
    (
        "clean",
        "2026-11-23T03:14:56.123456Z  INFO request{rendezvous=http nat=restricted}: \
         snowflake_broker::http::client: matched attempt=1 pool=open waited=1.25ms\n",
    ),
    (
        "clean_escapes",
        "{\"timestamp\":\"2026-11-23T03:14:56.123456Z\",\"level\":\"WARN\",\"fields\":{\"message\":\
         \"bad request\",\"reason\":\"a key is not \\\"a string\\\"\"},\"target\":\"snowflake_broker::http\"}\n",
    ),
    (
        "dirty",
        "2026-11-23T03:14:56.123456Z  WARN snowflake_broker::http: refused \
         peer=[2001:db8:1:2::77]:50312 forwarded=192.0.2.7 reason=\"too soon\"\n",
    ),
    (
        "dirty_escapes",
        "{\"timestamp\":\"2026-11-23T03:14:56.123456Z\",\"level\":\"WARN\",\"fields\":{\"message\":\
         \"GET /x?a=%5B2001%3Adb8%3A%3A77%5D%3A443\\n192.0.2.7\"},\"target\":\"hyper::proto\"}\n",
    ),
];

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scrub");
    for (name, line) in LINES {
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| scrub(black_box(line)).len());
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    bench(&mut criterion);
    criterion.final_summary();
}
