//! From the finished spans that the SDK has collected to the collector.

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

/// The signal of traces.
pub(super) const TRACES: Signal = Signal {
    name: "traces",
    http_path: "/v1/traces",
    grpc_path: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
};

/// Exports batches. The SDK calls it from a thread of its own, outside of the
/// runtime that the connection to the collector lives in.
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
        // It ends early only with the runtime.
        let ended = sent.await;
        ended.map_err(|error| OTelSdkError::InternalFailure(error.to_string()))
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}
