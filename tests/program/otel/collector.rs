//! A collector: OTLP's services, over gRPC and HTTP on one port, which keep all received
//! data.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use snowflake_broker::listener::{ChooseTls, Settings};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::support::serve::serve;

/// A running collector.
pub(crate) struct Collector {
    pub(crate) addr: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

/// The received data.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) traces: Vec<ExportTraceServiceRequest>,
    pub(crate) metrics: Vec<ExportMetricsServiceRequest>,
    /// The headers of every accepted request.
    pub(crate) headers: Vec<HeaderMap>,
    /// The number of requests still to be refused.
    pub(crate) refusals: usize,
    /// The number of spans per request that it claims to have rejected.
    pub(crate) rejects: i64,
}

type Shared = Arc<Mutex<Kept>>;

impl Collector {
    /// Starts a collector on a free port.
    pub(crate) async fn start(tls: Option<Arc<ChooseTls>>) -> Self {
        let kept = Shared::default();
        let addr = serve(router(&kept), Settings::default(), tls).await;
        Self { addr, kept }
    }

    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }
}

impl Kept {
    pub(crate) fn spans(&self) -> Vec<Span> {
        let resources = self.traces.iter().flat_map(|export| &export.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The resource attributes of all received data.
    pub(crate) fn resources(&self) -> Vec<Vec<KeyValue>> {
        let traces = self.traces.iter().flat_map(|export| &export.resource_spans);
        let traces = traces.map(|traces| &traces.resource);
        let metrics = self
            .metrics
            .iter()
            .flat_map(|export| &export.resource_metrics);
        let metrics = metrics.map(|metrics| &metrics.resource);
        let resources = traces.chain(metrics);
        resources
            .map(|resource| resource.as_ref().unwrap().attributes.clone())
            .collect()
    }

    /// The families in the latest export.
    pub(crate) fn families(&self) -> &[Metric] {
        let export = self.metrics.last().map(|export| &export.resource_metrics);
        export.map_or(&[], |resources| &resources[0].scope_metrics[0].metrics)
    }

    /// The sum of a counter's series with this attribute, in the latest export.
    pub(crate) fn count(&self, family: &str, key: &str, value: &str) -> f64 {
        let family = self.families().iter().find(|known| known.name == family);
        let Some(Data::Sum(sum)) = family.and_then(|family| family.data.as_ref()) else {
            return 0.0;
        };
        let points = sum.data_points.iter();
        let wanted = points.filter(|point| attribute(&point.attributes, key) == value);
        let values = wanted.map(|point| match point.value {
            Some(number_data_point::Value::AsDouble(value)) => value,
            other => panic!("{other:?}"),
        });
        values.sum()
    }

    /// All received data, as text.
    pub(crate) fn in_words(&self) -> String {
        format!("{:#?}\n{:#?}", self.traces, self.metrics)
    }

    fn refuses(&mut self) -> bool {
        let refuses = self.refusals > 0;
        self.refusals = self.refusals.saturating_sub(1);
        refuses
    }

    fn trace_reply(&self) -> ExportTraceServiceResponse {
        ExportTraceServiceResponse {
            partial_success: (self.rejects > 0).then(|| ExportTracePartialSuccess {
                rejected_spans: self.rejects,
                error_message: "from 192.0.2.7".to_owned(),
            }),
        }
    }
}

/// The text of an attribute; empty if there is none.
pub(crate) fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    let attribute = attributes.iter().find(|attribute| attribute.key == key);
    let value = attribute.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    match value {
        Some(Value::StringValue(text)) => text,
        None => "",
        other => panic!("{other:?}"),
    }
}

fn router(kept: &Shared) -> Router {
    let over_http = Router::new()
        .route("/v1/traces", post(traces))
        .route("/v1/metrics", post(metrics))
        .route("/else/where", post(traces))
        .route("/gone", post(|| async { StatusCode::GONE }))
        .with_state(Arc::clone(kept));
    let by_grpc = Routes::new(TraceServiceServer::new(Service(Arc::clone(kept))))
        .add_service(MetricsServiceServer::new(Service(Arc::clone(kept))));
    by_grpc.prepare().into_axum_router().merge(over_http)
}

type Reply = Result<Vec<u8>, StatusCode>;

async fn traces(State(kept): State<Shared>, headers: HeaderMap, body: Bytes) -> Reply {
    let mut kept = kept.lock().unwrap();
    if kept.refuses() {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(headers["content-type"], "application/x-protobuf");
    kept.headers.push(headers);
    let export = ExportTraceServiceRequest::decode(body).unwrap();
    kept.traces.push(export);
    Ok(kept.trace_reply().encode_to_vec())
}

async fn metrics(State(kept): State<Shared>, headers: HeaderMap, body: Bytes) -> Reply {
    let mut kept = kept.lock().unwrap();
    if kept.refuses() {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(headers["content-type"], "application/x-protobuf");
    kept.headers.push(headers);
    let export = ExportMetricsServiceRequest::decode(body).unwrap();
    kept.metrics.push(export);
    Ok(ExportMetricsServiceResponse::default().encode_to_vec())
}

struct Service(Shared);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut kept = self.0.lock().unwrap();
        if kept.refuses() {
            return Err(Status::unavailable("from 192.0.2.7"));
        }
        kept.headers.push(request.metadata().clone().into_headers());
        kept.traces.push(request.into_inner());
        Ok(Response::new(kept.trace_reply()))
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let mut kept = self.0.lock().unwrap();
        if kept.refuses() {
            return Err(Status::unavailable("from 192.0.2.7"));
        }
        kept.headers.push(request.metadata().clone().into_headers());
        kept.metrics.push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}
