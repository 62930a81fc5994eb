//! Export of metrics from the single registry to the collector.
//!
//! OpenTelemetry's own instruments would be a second set of counters, with other numbers
//! than Prometheus. So the whole registry is read at each interval, as OpenMetrics text,
//! and translated by the specification's rules for Prometheus data. Names stay the same,
//! so that queries work with either source.

mod families;
mod translate;

use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::report::ExportReport;
use super::transport::{Signal, Transport};

use translate::ExportOrigin;

/// The metrics signal.
pub(super) const METRICS: Signal = Signal {
    name: "metrics",
    http_path: "/v1/metrics",
    grpc_path: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
};

/// Exports metrics periodically.
#[derive(Debug)]
pub struct MetricsExporter {
    transport: Transport,
    origin: ExportOrigin,
    interval: Duration,
    report: ExportReport,
    wall_clock: fn() -> SystemTime,
}

impl MetricsExporter {
    /// An exporter that sends to `transport` every `interval`, as this resource and
    /// version.
    pub(super) fn new(
        (transport, report): (Transport, ExportReport),
        (resource, version): (&Resource, &'static str),
        interval: Duration,
        wall_clock: fn() -> SystemTime,
    ) -> Self {
        Self {
            transport,
            origin: ExportOrigin {
                attributes: ResourceAttributesWithSchema::from(resource).attributes.0,
                start: wall_clock(),
                version,
            },
            interval,
            report,
            wall_clock,
        }
    }

    /// Exports the OpenMetrics text that `collect` returns at each interval, and a last
    /// time when stopped.
    pub async fn run(self, collect: impl Fn() -> String, stop: CancellationToken) {
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is immediate, when there is nothing to report yet.
        ticks.tick().await;
        loop {
            let is_last = tokio::select! {
                _ = ticks.tick() => false,
                () = stop.cancelled() => true,
            };
            self.export(&collect()).await;
            if is_last {
                return;
            }
        }
    }

    async fn export(&self, open_metrics: &str) {
        let families = match families::read(open_metrics) {
            Ok(families) => families,
            Err(error) => return self.report.failed(&error),
        };
        let request = self.origin.request(families, (self.wall_clock)());
        let reply = self
            .transport
            .send::<_, ExportMetricsServiceResponse>(&request);
        match reply.await {
            Ok(reply) => {
                let partial = reply.partial_success;
                let rejected = partial.map(|partial| partial.rejected_data_points);
                self.report.rejected(rejected.unwrap_or_default());
            }
            Err(error) => self.report.failed(&error),
        }
    }
}
