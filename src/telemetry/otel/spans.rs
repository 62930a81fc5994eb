//! Export of finished spans from the SDK to the collector.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::runtime::Handle;

use super::report::ExportReport;
use super::transport::{Signal, Transport};

/// The traces signal.
pub(super) const TRACES: Signal = Signal {
    name: "traces",
    http_path: "/v1/traces",
    grpc_path: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
};

/// Exports batches of spans. The SDK calls it from its own thread, outside the runtime
/// that owns the connection to the collector.
#[derive(Debug)]
pub(super) struct Spans {
    pub(super) transport: Transport,
    pub(super) runtime: Handle,
    pub(super) resource: ResourceAttributesWithSchema,
    pub(super) report: Arc<ExportReport>,
}

impl SpanExporter for Spans {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let request = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(batch, &self.resource),
        };
        let transport = self.transport.clone();
        let report = Arc::clone(&self.report);
        let sent = self.runtime.spawn(async move {
            let reply = transport.send::<_, ExportTraceServiceResponse>(&request);
            match reply.await {
                Ok(reply) => {
                    let rejected = reply.partial_success.map(|partial| partial.rejected_spans);
                    report.rejected(rejected.unwrap_or_default());
                }
                Err(error) => report.failed(&error),
            }
        });
        // Ends early only together with the runtime.
        let ended = sent.await;
        ended.map_err(|error| OTelSdkError::InternalFailure(error.to_string()))
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}
