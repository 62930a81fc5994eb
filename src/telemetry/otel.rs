//! Traces and metrics for an OpenTelemetry collector, by OTLP. Off, and next to
//! free, unless there is an endpoint.
//!
//! The SDK samples, names and batches spans; everything is then sent by one
//! transport of our own. The SDK's exporter cannot do that: its metrics can only
//! come from its own instruments, and ours come from the one registry.
//!
//! The broker chooses itself what it records. No trace context is taken from a
//! request: a stranger would decide what is recorded, and by its id who is
//! followed.

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

/// The reason why something cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum OtelError {
    /// Traces have no way to their collector.
    #[error("traces: {0}")]
    Traces(InvalidEndpoint),
    /// Metrics have no way to their collector.
    #[error("metrics: {0}")]
    Metrics(InvalidEndpoint),
    /// The attributes of the resource cannot be read.
    #[error("traces and metrics: otel.resource_attributes")]
    Resource(#[from] InvalidPair),
}

/// The clocks by which traces and metrics are dated.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// The monotonic clock.
    pub monotonic: fn() -> Instant,
    /// The calendar.
    pub wall: fn() -> SystemTime,
}

/// Exports to collectors; by default none.
#[derive(Debug, Default)]
pub struct Otel {
    traces: Option<SdkTracerProvider>,
    metrics: Option<MetricsExporter>,
}

impl Otel {
    /// Sets up what the settings ask for, as far as that is possible, and says why
    /// the rest is not: a machine without certificate authorities, say. Spans are
    /// sent from now on, metrics by [`Self::take_metrics_exporter`]. No collector is
    /// called yet. Has to be called in the runtime, which has to last until
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

    /// Records spans; none if traces go nowhere.
    pub fn tracer(&self) -> Option<BoxedTracer> {
        let scope = InstrumentationScope::builder("snowflake_broker")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let provider = self.traces.as_ref()?;
        Some(BoxedTracer::new(Box::new(
            provider.tracer_with_scope(scope),
        )))
    }

    /// The exporter of metrics, to be run; none, if metrics go nowhere or it
    /// was taken already.
    pub fn take_metrics_exporter(&mut self) -> Option<MetricsExporter> {
        self.metrics.take()
    }

    /// Sends the spans that are left, for as long as `patience`. Spans that end
    /// later are lost.
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

/// The transport that is asked for; none if it lacks something.
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

/// The way of a signal; none where it is not asked for.
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
