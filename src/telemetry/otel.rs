//! Traces and metrics for an OpenTelemetry collector, over OTLP. Off, and nearly free,
//! without an endpoint.
//!
//! The SDK samples, names and batches spans. Our own transport sends everything: the
//! SDK's exporter cannot, since it takes metrics only from the SDK's instruments, and
//! ours come from the single registry.
//!
//! The broker itself decides what is recorded. It accepts no trace context from requests:
//! that would let strangers decide what is recorded and, by the trace ID, follow someone.

mod endpoint;
mod metrics;
mod pairs;
mod report;
mod resource;
mod sampling;
mod settings;
mod spans;
mod transport;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::InstrumentationScope;
use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

pub use endpoint::InvalidEndpoint;
pub use metrics::MetricsExporter;
pub use pairs::{InvalidPair, parse as parse_pairs};
pub use resource::Instance;
pub use settings::{Exporter, Protocol, SamplerKind, Settings};

use metrics::METRICS;
use report::ExportReport;
use sampling::WithLinked;
use spans::{Spans, TRACES};
use transport::{Signal, Transport};

/// The reason why a signal cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum OtelError {
    /// Traces cannot be sent to their collector.
    #[error("cannot export traces: {0}")]
    Traces(InvalidEndpoint),
    /// Metrics cannot be sent to their collector.
    #[error("cannot export metrics: {0}")]
    Metrics(InvalidEndpoint),
    /// The resource attributes are invalid.
    #[error("cannot export traces and metrics: otel.resource_attributes")]
    Resource(#[from] InvalidPair),
}

/// The clocks for traces and metrics.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// The monotonic clock.
    pub monotonic: fn() -> Instant,
    /// The wall clock.
    pub wall: fn() -> SystemTime,
}

/// The exports to collectors; by default none.
#[derive(Debug, Default)]
pub struct Otel {
    traces: Option<SdkTracerProvider>,
    metrics: Option<MetricsExporter>,
}

impl Otel {
    /// Sets up the exports in the settings as far as possible, and returns the reasons
    /// why the others are not possible, such as missing certificate authorities. Spans
    /// are exported from now on, metrics by [`Self::take_metrics_exporter`]. No collector
    /// is contacted yet. Call this in the runtime, which must last until
    /// [`Self::shut_down`] returns.
    pub fn start(
        settings: &Settings,
        instance: &Instance,
        clocks: Clocks,
    ) -> (Self, Vec<OtelError>) {
        let resource = match resource::resource(settings, instance) {
            Ok(resource) => resource,
            Err(error) => return (Self::default(), vec![error.into()]),
        };
        let mut lacking = Vec::new();
        let report = |signal: Signal| ExportReport::new(signal.name, clocks.monotonic);
        let to_metrics = metrics_transport(settings).map_err(OtelError::Metrics);
        let metrics = possible(to_metrics, &mut lacking).map(|transport| {
            let sender = (transport, report(METRICS));
            let origin = (&resource, instance.version);
            MetricsExporter::new(sender, origin, settings.metrics_interval, clocks.wall)
        });
        let to_traces = traces_transport(settings).map_err(OtelError::Traces);
        let traces = possible(to_traces, &mut lacking)
            .map(|transport| provider(settings, resource, transport, report(TRACES)));
        (Self { traces, metrics }, lacking)
    }

    /// A tracer that records spans; `None` if traces are not exported.
    pub fn tracer(&self) -> Option<BoxedTracer> {
        let scope = InstrumentationScope::builder("snowflake_broker")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let provider = self.traces.as_ref()?;
        Some(BoxedTracer::new(Box::new(
            provider.tracer_with_scope(scope),
        )))
    }

    /// The exporter of metrics, to be run by the caller; `None` if metrics are not
    /// exported or the exporter was already taken.
    pub fn take_metrics_exporter(&mut self) -> Option<MetricsExporter> {
        self.metrics.take()
    }

    /// Exports the remaining spans, for at most `patience`. Spans that end later are
    /// lost.
    pub async fn shut_down(self, patience: Duration) {
        let Some(provider) = self.traces else {
            return;
        };
        let flushed = spawn_blocking(move || provider.shutdown_with_timeout(patience));
        if !matches!(flushed.await, Ok(Ok(()))) {
            tracing::warn!("the last traces were not exported in time");
        }
    }
}

/// The configured transport; `None` if it cannot be set up.
fn possible(
    transport: Result<Option<Transport>, OtelError>,
    lacking: &mut Vec<OtelError>,
) -> Option<Transport> {
    transport.unwrap_or_else(|error| {
        lacking.push(error);
        None
    })
}

fn traces_transport(settings: &Settings) -> Result<Option<Transport>, InvalidEndpoint> {
    let protocol = settings.traces_protocol.unwrap_or(settings.protocol);
    let endpoint = settings.traces_endpoint.as_deref();
    transport(
        settings,
        settings.traces_exporter,
        protocol,
        endpoint,
        TRACES,
    )
}

fn metrics_transport(settings: &Settings) -> Result<Option<Transport>, InvalidEndpoint> {
    let protocol = settings.metrics_protocol.unwrap_or(settings.protocol);
    let endpoint = settings.metrics_endpoint.as_deref();
    transport(
        settings,
        settings.metrics_exporter,
        protocol,
        endpoint,
        METRICS,
    )
}

/// The transport of a signal; `None` if not configured.
fn transport(
    settings: &Settings,
    exporter: Exporter,
    protocol: Protocol,
    own: Option<&str>,
    signal: Signal,
) -> Result<Option<Transport>, InvalidEndpoint> {
    if settings.disable || exporter == Exporter::None {
        return Ok(None);
    }
    let shared = settings
        .endpoint
        .as_deref()
        .map(|endpoint| (endpoint, true));
    let endpoint = own.map(|endpoint| (endpoint, false)).or(shared);
    endpoint
        .map(|endpoint| Transport::new(settings, protocol, endpoint, signal))
        .transpose()
}

fn provider(
    settings: &Settings,
    resource: Resource,
    transport: Transport,
    report: ExportReport,
) -> SdkTracerProvider {
    let spans = Spans {
        transport,
        runtime: Handle::current(),
        resource: ResourceAttributesWithSchema::default(),
        report: Arc::new(report),
    };
    SdkTracerProvider::builder()
        .with_sampler(WithLinked::new(settings))
        .with_resource(resource)
        .with_span_processor(BatchSpanProcessor::builder(spans).build())
        .build()
}
