//! A rendezvous across two brokers is one trace.

use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::{SpanId, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider, SpanData};
use snowflake_broker::matching;

use crate::network::Network;
use crate::node::{Node, peers};

/// The spans of a broker.
struct Traces {
    spans: InMemorySpanExporter,
    provider: SdkTracerProvider,
}

impl Traces {
    fn new(sampler: Sampler) -> Self {
        let spans = InMemorySpanExporter::default();
        let sampler = Sampler::ParentBased(Box::new(sampler));
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler)
            .with_simple_exporter(spans.clone())
            .build();
        Self { spans, provider }
    }

    fn node(&self, network: &Network, name: &str, peer: &str) -> Node {
        let tracer = BoxedTracer::new(Box::new(self.provider.tracer("test")));
        let matching = matching::Settings::default();
        Node::traced(network, name, &peers(&[peer]), matching, Some(tracer))
    }

    fn span(&self, name: &str) -> SpanData {
        let mut spans = self.spans.get_finished_spans().unwrap();
        spans.retain(|span| span.name == name);
        let [span] = <[SpanData; 1]>::try_from(spans).unwrap();
        span
    }
}

fn is_child(span: &SpanData, parent: &SpanData) -> bool {
    span.parent_span_id == parent.span_context.span_id()
        && span.span_context.trace_id() == parent.span_context.trace_id()
}

async fn borrow(of_a: &Traces, of_b: &Traces) {
    let network = Network::default();
    let a = of_a.node(&network, "a.example", "b.example");
    let b = of_b.node(&network, "b.example", "a.example");
    let proxy = b.proxy("p");
    a.sees_proxies("b.example", 1).await;
    a.client("c").await.unwrap();
    proxy.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_trace_goes_on_at_the_lender() {
    let (of_a, of_b) = (
        Traces::new(Sampler::AlwaysOn),
        Traces::new(Sampler::AlwaysOff),
    );
    borrow(&of_a, &of_b).await;
    let root = of_a.span("client poll");
    assert_eq!(root.parent_span_id, SpanId::INVALID);
    let borrowed = of_a.span("borrow");
    assert!(is_child(&borrowed, &root));
    assert_eq!(borrowed.attributes[0].value.as_str(), "answered");
    // The lender by itself would have sampled nothing.
    let loan = of_b.span("loan");
    assert!(is_child(&loan, &root));
    assert!(is_child(&of_b.span("hand-off"), &loan));
}

/// There was a span for each client, however long no peer could be asked.
#[tokio::test(start_paused = true)]
async fn where_nobody_is_asked_there_is_no_span_of_it() {
    let traces = Traces::new(Sampler::AlwaysOn);
    let network = Network::default();
    let a = traces.node(&network, "a.example", "b.example");
    a.client("nobody has a link").await.unwrap_err();
    let _b = traces.node(&network, "b.example", "a.example");
    a.sees_proxies("b.example", 0).await;
    a.client("nobody has a proxy").await.unwrap_err();
    let spans = traces.spans.get_finished_spans().unwrap();
    let names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
    assert!(names.contains(&"queue"), "{names:?}");
    assert!(!names.contains(&"borrow"), "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_borrower_does_not_trace_the_lender_may() {
    let (of_a, of_b) = (
        Traces::new(Sampler::AlwaysOff),
        Traces::new(Sampler::AlwaysOn),
    );
    borrow(&of_a, &of_b).await;
    assert!(of_a.spans.get_finished_spans().unwrap().is_empty());
    assert_eq!(of_b.span("loan").parent_span_id, SpanId::INVALID);
}
