//! Cost of tracing for a rendezvous: without a collector, for requests that are not
//! sampled, and for sampled ones.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use snowflake_broker::broker::{Broker, Caller, Directory, RequestOrigin, clock};
use snowflake_broker::matching::Settings;
use snowflake_broker::metrics::Metrics;
use snowflake_broker::metrics::distinct_ips::WindowKey;
use snowflake_broker::metrics::labels::Rendezvous;
use snowflake_broker::wire::answer::ProxyAnswer;
use snowflake_broker::wire::client::ClientPoll;
use snowflake_broker::wire::proxy::{ProxyPoll, ProxyTypes};
use tokio::runtime::Builder;

const POLL: &[u8] = br#"{"Sid":"a","Version":"1.3","Type":"standalone","NAT":"open","Clients":0}"#;
const OFFER: &[u8] =
    b"1.0\n{\"offer\":\"{\\\"type\\\":\\\"offer\\\",\\\"sdp\\\":\\\"v=0\\\"}\",\"nat\":\"strict\"}";
const ANSWER: &[u8] =
    br#"{"Version":"1.3","Sid":"a","Answer":"{\"type\":\"answer\",\"sdp\":\"a=candidate\"}"}"#;

/// An exporter that discards its spans.
#[derive(Debug)]
struct Nowhere;

impl SpanExporter for Nowhere {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        drop(batch);
        Ok(())
    }
}

fn tracer(sampler: Sampler) -> BoxedTracer {
    let provider = SdkTracerProvider::builder()
        .with_sampler(sampler)
        .with_span_processor(BatchSpanProcessor::builder(Nowhere).build())
        .build();
    BoxedTracer::new(Box::new(provider.tracer("bench")))
}

fn broker(tracer: Option<BoxedTracer>) -> Broker {
    let metrics = Metrics::new(clock::wall_clock(), WindowKey::from([1; 16]));
    let directory = Directory::default();
    Broker::new(Settings::default(), directory, Arc::new(metrics), 7).traced(tracer)
}

fn caller() -> Caller {
    Caller {
        arrived: clock::now(),
        address: None,
        origin: RequestOrigin::Local,
    }
}

/// Runs a proxy's poll, a client and the proxy's answer.
async fn rendezvous(broker: &Broker) {
    let mut poll = ProxyPoll::decode(POLL, &ProxyTypes::default()).expect("a poll");
    let client = ClientPoll::decode(OFFER).expect("a client");
    let answer = ProxyAnswer::decode(ANSWER).expect("an answer");
    let proxy = async {
        let response = broker.proxy_poll(caller(), &mut poll).await;
        assert!(broker.proxy_answer(caller(), answer).await.is_ok());
        response
    };
    let (response, reply) = tokio::join!(
        proxy,
        broker.client_poll(caller(), Rendezvous::Http, client, || false)
    );
    assert!(response.is_ok() && reply.is_ok());
    black_box(reply.ok());
}

fn rendezvous_by_tracing(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    for (name, tracer) in [
        ("off", None),
        ("not sampled", Some(tracer(Sampler::AlwaysOff))),
        ("sampled", Some(tracer(Sampler::AlwaysOn))),
    ] {
        let broker = broker(tracer);
        criterion.bench_function(&format!("rendezvous, tracing {name}"), |bencher| {
            bencher.iter(|| runtime.block_on(rendezvous(&broker)));
        });
    }
}

criterion_group!(benches, rendezvous_by_tracing);
criterion_main!(benches);
