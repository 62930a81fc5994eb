//! The span tree of a rendezvous, with paused time.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::{SpanKind, Status, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider, SpanData};
use serde_json::json;
use snowflake_broker::geoip::GeoIp;
use snowflake_broker::http;
use snowflake_broker::matching::Settings;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::start;
use crate::support::front::Front;
use crate::support::messages::{client_poll, offer, proxy_answer, proxy_poll};
use crate::support::requests::Reply;

const SECOND: Duration = Duration::from_secs(1);

/// A broker whose spans are kept.
struct Scene {
    front: Arc<Front>,
    spans: InMemorySpanExporter,
    _provider: SdkTracerProvider,
}

impl Scene {
    fn new(settings: Settings) -> Self {
        Self::sampled(settings, Sampler::AlwaysOn)
    }

    fn sampled(settings: Settings, sampler: Sampler) -> Self {
        let spans = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler)
            .with_simple_exporter(spans.clone())
            .build();
        let tracer = BoxedTracer::new(Box::new(provider.tracer("test")));
        let http = http::Settings::default();
        let front = Front::traced(settings, http, GeoIp::default(), Some(tracer));
        Self {
            front: Arc::new(front),
            spans,
            _provider: provider,
        }
    }

    async fn proxy(&self, sid: &str, nat: &str) -> JoinHandle<Reply> {
        start(&self.front, "/proxy", proxy_poll(sid, nat)).await
    }

    async fn client(&self, nat: &str) -> JoinHandle<Reply> {
        start(&self.front, "/client", client_poll("x", nat)).await
    }

    async fn answer(&self, sid: &str) {
        self.front.post("/answer", proxy_answer(sid, "hi")).await;
    }

    /// The spans with this name, sorted by start.
    fn spans(&self, name: &str) -> Vec<SpanData> {
        let mut spans = self.spans.get_finished_spans().unwrap();
        spans.retain(|span| span.name == name);
        spans.sort_by_key(|span| span.start_time);
        spans
    }

    fn span(&self, name: &str) -> SpanData {
        let [span] = <[SpanData; 1]>::try_from(self.spans(name)).unwrap();
        span
    }

    fn names(&self) -> Vec<String> {
        let spans = self.spans.get_finished_spans().unwrap();
        let mut names: Vec<String> = spans.iter().map(|span| span.name.to_string()).collect();
        names.sort();
        names
    }
}

fn attributes(span: &SpanData) -> Vec<String> {
    let mut attributes: Vec<String> = span
        .attributes
        .iter()
        .map(|attribute| format!("{}={}", attribute.key, attribute.value))
        .collect();
    attributes.sort();
    attributes
}

/// The length of a span, in milliseconds.
fn length(span: &SpanData) -> u128 {
    let length = span.end_time.duration_since(span.start_time);
    length.unwrap().as_millis()
}

fn is_child(span: &SpanData, parent: &SpanData) -> bool {
    span.parent_span_id == parent.span_context.span_id()
        && span.span_context.trace_id() == parent.span_context.trace_id()
        && span.start_time >= parent.start_time
        && span.end_time <= parent.end_time
}

fn is_linked(span: &SpanData, other: &SpanData) -> bool {
    let mut links = span.links.iter();
    links.any(|link| link.span_context == other.span_context)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_has_its_queue_its_hand_off_and_its_answer() {
    let scene = Scene::new(Settings::default());
    let client = scene.client("restricted").await;
    sleep(Duration::from_millis(299)).await;
    scene.proxy("a", "unrestricted").await;
    sleep(Duration::from_millis(499)).await;
    scene.answer("a").await;
    client.await.unwrap();

    let names = ["answer", "client poll", "hand-off", "proxy poll", "queue"];
    assert_eq!(scene.names(), names);
    let root = scene.span("client poll");
    let [queue, hand_off, answer] = ["queue", "hand-off", "answer"].map(|name| scene.span(name));
    assert!(is_child(&queue, &root) && is_child(&hand_off, &root));
    assert!(is_child(&answer, &hand_off));
    assert_eq!(
        [&root, &queue, &hand_off, &answer].map(length),
        [800, 300, 500, 0]
    );
    assert_eq!(hand_off.start_time, queue.end_time);
    assert_eq!(root.span_kind, SpanKind::Server);
    assert_eq!(
        attributes(&root),
        [
            "snowflake.nat=restricted",
            "snowflake.outcome=matched",
            "snowflake.rendezvous=http"
        ]
    );
    assert_eq!(
        attributes(&hand_off),
        [
            "snowflake.attempt=1",
            "snowflake.outcome=answered",
            "snowflake.pool=open"
        ]
    );
    assert_eq!(attributes(&queue), [""; 0]);
    assert_eq!(attributes(&answer), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn the_poll_has_a_trace_of_its_own_and_each_links_to_the_other() {
    let scene = Scene::new(Settings::default());
    scene.proxy("a", "moderate").await;
    sleep(SECOND).await;
    let client = scene.client("open").await;
    scene.answer("a").await;
    client.await.unwrap();

    let root = scene.span("client poll");
    let [hand_off, poll] = ["hand-off", "proxy poll"].map(|name| scene.span(name));
    assert!(
        scene.spans("queue").is_empty(),
        "it never waited for a proxy"
    );
    assert_ne!(poll.span_context.trace_id(), root.span_context.trace_id());
    assert!(is_linked(&poll, &root) && is_linked(&hand_off, &poll));
    assert_eq!(length(&poll), 1001);
    assert_eq!(poll.end_time, hand_off.start_time);
    assert_eq!(
        attributes(&poll),
        [
            "snowflake.nat=moderate",
            "snowflake.outcome=matched",
            "snowflake.pool=moderate"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_chance_is_a_second_hand_off() {
    let scene = Scene::new(Settings {
        second_chance_reserve: 0,
        ..Settings::default()
    });
    scene.proxy("a", "open").await;
    scene.proxy("b", "open").await;
    let client = scene.client("strict").await;
    sleep(Duration::from_millis(2499)).await;
    scene.answer("a").await;
    client.await.unwrap();

    let hand_offs = scene.spans("hand-off");
    let told: Vec<_> = hand_offs.iter().map(attributes).collect();
    // One of the two proxies answered; the other's hand-off has no answer.
    let attempts = told.iter().map(|attributes| &*attributes[0]);
    assert_eq!(
        attempts.collect::<Vec<_>>(),
        ["snowflake.attempt=1", "snowflake.attempt=2"]
    );
    let answered = told
        .iter()
        .filter(|told| told[1] == "snowflake.outcome=answered");
    let unanswered = told
        .iter()
        .filter(|told| told[1] == "snowflake.outcome=unanswered");
    assert_eq!((answered.count(), unanswered.count()), (1, 1));
    assert_eq!(
        hand_offs.iter().map(length).collect::<Vec<_>>(),
        [2500, 500]
    );
    assert_eq!(scene.spans("proxy poll").len(), 2);
    assert_eq!(scene.spans("answer").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_gets_nothing_ends_with_the_reason() {
    let scene = Scene::new(Settings::default());
    scene.client("strict").await.await.unwrap();
    let denied = scene.span("client poll");
    assert_eq!(attributes(&denied)[1], "snowflake.outcome=denied");
    assert_eq!(denied.status, Status::error("denied"));
    assert_eq!(length(&scene.span("queue")), 1000);
    scene.spans.reset();

    scene.proxy("a", "open").await;
    scene.client("strict").await.await.unwrap();
    let timed_out = scene.span("client poll");
    assert_eq!(attributes(&timed_out)[1], "snowflake.outcome=timed_out");
    assert_eq!(length(&timed_out), 5000);
    assert_eq!(
        attributes(&scene.span("hand-off"))[1],
        "snowflake.outcome=unanswered"
    );
    scene.spans.reset();

    let fingerprint = "F".repeat(40);
    let body = json!({"offer": offer("x"), "fingerprint": fingerprint});
    let refused = scene.front.post("/client", format!("1.0\n{body}")).await;
    assert!(refused.body.contains("error"), "{}", refused.body);
    assert_eq!(scene.names(), ["client poll"]);
    let refused = scene.span("client poll");
    assert_eq!(attributes(&refused)[1], "snowflake.outcome=refused");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_ends_as_abandoned_then_and_there() {
    let scene = Scene::new(Settings::default());
    let client = scene.client("strict").await;
    sleep(Duration::from_millis(99)).await;
    client.abort();
    sleep(SECOND).await;
    assert_eq!(scene.names(), ["client poll", "queue"]);
    let root = scene.span("client poll");
    assert_eq!(attributes(&root)[1], "snowflake.outcome=abandoned");
    assert_eq!((length(&root), length(&scene.span("queue"))), (100, 100));
    assert_eq!(root.status, Status::Unset);
}

/// The proxy's request ends while the offer is on its way.
#[tokio::test(start_paused = true)]
async fn a_hand_off_that_fails_ends_there_and_the_client_waits_again() {
    let scene = Scene::new(Settings::default());
    let poll = scene.proxy("a", "open").await;
    let front = Arc::clone(&scene.front);
    let mut client =
        Box::pin(async move { front.post("/client", client_poll("x", "strict")).await });
    // The client's offer is handed off at once, and the poll is gone before it is polled
    // again.
    let first = client
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    assert!(first.is_pending());
    poll.abort();
    let client = tokio::spawn(client);
    sleep(Duration::from_millis(200)).await;
    scene.proxy("b", "open").await;
    scene.answer("b").await;
    client.await.unwrap();

    let hand_offs = scene.spans("hand-off");
    let outcomes = hand_offs.iter().map(|span| attributes(span)[1].clone());
    assert_eq!(
        outcomes.collect::<Vec<_>>(),
        ["snowflake.outcome=proxy_left", "snowflake.outcome=answered"]
    );
    assert_eq!(length(&hand_offs[0]), 0);
    assert_eq!(length(&scene.span("queue")), 200);
}

#[tokio::test(start_paused = true)]
async fn of_a_client_that_is_not_sampled_nothing_is_recorded() {
    let scene = Scene::sampled(Settings::default(), Sampler::AlwaysOff);
    scene.proxy("a", "open").await;
    let client = scene.client("strict").await;
    scene.answer("a").await;
    client.await.unwrap();
    assert_eq!(scene.names(), [""; 0]);
}
