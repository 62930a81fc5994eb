//! Cost of reading and writing each message, with offers and answers of 2.5 KB.
//!
//! The lower bound is one copy of the message. Target: a few microseconds, far below the
//! tens of microseconds that HTTP costs. Run with `cargo bench --bench wire`.

#[path = "support/messages.rs"]
mod messages;
#[path = "support/worst_bodies.rs"]
mod worst_bodies;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use serde::de::IgnoredAny;
use snowflake_broker::wire::answer::{AnswerStatus, ProxyAnswer};
use snowflake_broker::wire::client::{ClientPoll, encode_answer, encode_error};
use snowflake_broker::wire::nat::NatType;
use snowflake_broker::wire::proxy::{PollResponse, PollStatus, ProxyPoll, ProxyTypes, Sid};
use snowflake_broker::wire::session_description::SessionDescription;
use snowflake_broker::wire::{amp_armor, amp_path, candidates};

use messages::{client_poll, description, proxy_answer, proxy_poll};

const SID: &str = "ymbcCMto7KHNGYlp";

fn decode<T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    body: &[u8],
    decode: impl Fn(&[u8]) -> T,
) {
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function(name, |bencher| bencher.iter(|| decode(black_box(body))));
}

fn encode(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, encode: impl Fn() -> Vec<u8>) {
    group.throughput(Throughput::Bytes(encode().len() as u64));
    group.bench_function(name, |bencher| bencher.iter(&encode));
}

fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let poll = proxy_poll(SID, "restricted");
    decode(&mut group, "a proxy's poll", &poll, |body| {
        ProxyPoll::decode(body, &ProxyTypes::default()).expect("a poll")
    });
    let answer = proxy_answer(SID);
    decode(&mut group, "a proxy's answer", &answer, |body| {
        ProxyAnswer::decode(body).expect("an answer")
    });
    let poll = client_poll("restricted");
    decode(&mut group, "a client's poll", &poll, |body| {
        ClientPoll::decode(body).expect("a poll")
    });
    let legacy = description("offer").into_bytes();
    decode(&mut group, "a client's legacy poll", &legacy, |body| {
        ClientPoll::decode_legacy(body, Some("restricted")).expect("a poll")
    });
    let path = format!("0Ai8f3XQ/{}", URL_SAFE_NO_PAD.encode(&poll));
    group.throughput(Throughput::Bytes(path.len() as u64));
    group.bench_function("an AMP path", |bencher| {
        bencher.iter(|| amp_path::decode(black_box(&path)).expect("a poll"));
    });
    group.bench_function("a Sid alone", |bencher| {
        bencher.iter(|| Sid::new(black_box(SID)));
    });
    group.finish();
}

/// The largest bodies of the most expensive kinds, compared with only checking whether
/// each is JSON after invalid UTF-8 was replaced.
fn worst(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("worst");
    let types = ProxyTypes::default();
    for (name, body) in worst_bodies::proxy_polls() {
        decode(&mut group, &format!("{name}/decode"), &body, |body| {
            ProxyPoll::decode(body, &types)
        });
        scan(&mut group, name, &body);
    }
    for (name, body) in worst_bodies::client_polls() {
        decode(
            &mut group,
            &format!("{name}/decode"),
            &body,
            ClientPoll::decode,
        );
        scan(&mut group, name, &body[b"1.0\n".len()..]);
    }
    group.finish();
}

fn scan(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, body: &[u8]) {
    let name = format!("{name}/scan");
    decode(group, &name, body, |body| {
        let text = String::from_utf8_lossy(body);
        serde_json::from_str::<IgnoredAny>(&text).is_ok()
    });
}

/// The address of a client that came through an AMP cache or SQS. No address in the offer
/// is public, so the whole offer is read.
fn address(criterion: &mut Criterion) {
    let offer = SessionDescription::parse(&description("offer")).expect("an offer");
    criterion.bench_function("the address in an offer", |bencher| {
        bencher.iter(|| candidates::public_address(black_box(&offer)));
    });
}

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let next_poll = Duration::from_secs(20);
    let offer = SessionDescription::parse(&description("offer")).expect("an offer");
    let status = PollStatus::ClientMatch {
        offer,
        nat: NatType::Restricted,
        relay_url: Arc::from("wss://snowflake.torproject.net/"),
    };
    let matched = PollResponse { status, next_poll };
    encode(&mut group, "a match for a proxy", || {
        black_box(&matched).encode()
    });
    let status = PollStatus::NoMatch;
    let idle = PollResponse { status, next_poll };
    encode(&mut group, "no match for a proxy", || {
        black_box(&idle).encode()
    });
    encode(&mut group, "what became of an answer", || {
        black_box(AnswerStatus::Success).encode()
    });
    let answer = SessionDescription::parse(&description("answer")).expect("an answer");
    encode(&mut group, "an answer for a client", || {
        encode_answer(black_box(&answer))
    });
    encode(&mut group, "an error for a client", || {
        encode_error(black_box("no snowflake proxies currently available"))
    });
    let response = encode_answer(&answer);
    encode(&mut group, "AMP armor around an answer", || {
        amp_armor::encode(black_box(&response)).into_bytes()
    });
    group.finish();
}

criterion_group!(benches, decoding, worst, address, encoding);
criterion_main!(benches);
