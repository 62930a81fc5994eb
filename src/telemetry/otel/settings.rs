//! Settings of OpenTelemetry. Most keys correspond to one of OpenTelemetry's own
//! variables.

use std::time::Duration;

use http::Uri;
use serde::{Deserialize, Serialize};

use super::endpoint::{check_endpoint, check_headers};
use super::pairs::parse as parse_pairs;
use crate::report::{SPAN, SettingsReport};

/// Traces and metrics for an OpenTelemetry collector. Without an endpoint, nothing is
/// recorded for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// True to disable all exports, whatever else is set.
    pub disable: bool,
    /// The URL of the collector. Over HTTP, the path of each signal is appended to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The full URL of a separate collector for traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces_endpoint: Option<String>,
    /// The full URL of a separate collector for metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_endpoint: Option<String>,
    /// The protocol of the collector.
    pub protocol: Protocol,
    /// The protocol for traces, if different.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces_protocol: Option<Protocol>,
    /// The protocol for metrics, if different.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_protocol: Option<Protocol>,
    /// The headers of each request to the collector: `name=value,name=value`,
    /// percent-encoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<String>,
    /// The time limit for one export, including retries.
    #[serde(with = "crate::timespan")]
    pub timeout: Duration,
    /// The destination of traces.
    pub traces_exporter: Exporter,
    /// The destination of metrics.
    pub metrics_exporter: Exporter,
    /// The sampler of rendezvous.
    pub sampler: SamplerKind,
    /// The share of rendezvous that ratio samplers record, 0 to 1.
    pub trace_ratio: f64,
    /// The interval at which metrics are sent.
    #[serde(with = "crate::timespan")]
    pub metrics_interval: Duration,
    /// The resource's `service.name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// Additional resource attributes: `name=value,name=value`, percent-encoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_attributes: Option<String>,
}

/// A protocol of OTLP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// Protobuf over gRPC.
    #[serde(rename = "grpc")]
    Grpc,
    /// Protobuf over HTTP/1.1.
    #[default]
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

/// The destination of a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exporter {
    /// The endpoint, if there is one.
    #[default]
    Otlp,
    /// No export.
    None,
}

/// The sampler of traces, by OpenTelemetry's names. A client's request has no parent, so
/// the parent-based samplers differ only in name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamplerKind {
    /// All traces.
    AlwaysOn,
    /// No traces.
    AlwaysOff,
    /// A share of all traces, by trace ID.
    #[serde(rename = "traceidratio")]
    TraceIdRatio,
    /// Like the parent; without a parent, all.
    #[serde(rename = "parentbased_always_on")]
    ParentBasedAlwaysOn,
    /// Like the parent; without a parent, none.
    #[serde(rename = "parentbased_always_off")]
    ParentBasedAlwaysOff,
    /// Like the parent; without a parent, a share.
    #[default]
    #[serde(rename = "parentbased_traceidratio")]
    ParentBasedTraceIdRatio,
}

impl Settings {
    /// Reports mistakes, and settings without effect.
    pub fn check(&self, report: &mut SettingsReport) {
        report.within("timeout", self.timeout, &SPAN);
        report.within("metrics_interval", self.metrics_interval, &SPAN);
        report.within("trace_ratio", self.trace_ratio, &(0.0..=1.0));
        for (key, endpoint) in [
            ("endpoint", &self.endpoint),
            ("traces_endpoint", &self.traces_endpoint),
            ("metrics_endpoint", &self.metrics_endpoint),
        ] {
            let Some(endpoint) = endpoint else { continue };
            let checked = check_endpoint(endpoint);
            report.refuse_if(key, checked.err().map(|error| error.to_string()));
            if has_user(endpoint) {
                report.warn(
                    &[key, "headers"],
                    "its user and password are not sent: set otel.headers to \
                     authorization=Basic%20... instead",
                );
            }
        }
        let headers = check_headers(self.headers.as_deref().unwrap_or_default());
        report.refuse_if("headers", headers.err().map(|error| error.to_string()));
        let attributes = parse_pairs(self.resource_attributes.as_deref().unwrap_or_default());
        let problem = attributes.err().map(|error| error.to_string());
        report.refuse_if("resource_attributes", problem);
    }
}

fn has_user(endpoint: &str) -> bool {
    let url = endpoint.parse::<Uri>();
    url.is_ok_and(|url| url.authority().is_some_and(|it| it.as_str().contains('@')))
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            disable: false,
            endpoint: None,
            traces_endpoint: None,
            metrics_endpoint: None,
            protocol: Protocol::default(),
            traces_protocol: None,
            metrics_protocol: None,
            headers: None,
            timeout: Duration::from_secs(10),
            traces_exporter: Exporter::default(),
            metrics_exporter: Exporter::default(),
            sampler: SamplerKind::default(),
            trace_ratio: 0.01,
            metrics_interval: Duration::from_mins(1),
            service_name: None,
            resource_attributes: None,
        }
    }
}
