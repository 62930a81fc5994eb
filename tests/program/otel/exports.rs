//! The way from the program to a collector, with everything in between.

use std::fs;
use std::sync::Arc;

use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use snowflake_broker::tls::{CertResolver, Certificate, ServerConfigs};

use crate::otel::collector::{Collector, Kept, attribute};
use crate::otel::program::{Program, SDP, SID};
use crate::otel::until;
use crate::support::privacy::PrivacyWatch;

const ALL: (&str, &str) = ("OTEL_TRACES_SAMPLER_ARG", "1");

/// A rendezvous with both signals and the standard variables. Ends with the program, so
/// that everything is flushed.
async fn rendezvous(collector: &Collector, variables: &[(&str, &str)]) {
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x");
    let attributes = (
        "OTEL_RESOURCE_ATTRIBUTES",
        "deployment.environment.name=a%20b",
    );
    let name = ("OTEL_SERVICE_NAME", "the-broker");
    let variables = [variables, &[ALL, headers, attributes, name]].concat();
    let program = Program::start(&variables).await;
    program.rendezvous().await;
    assert!(
        collector.kept().traces.is_empty(),
        "spans are sent in batches"
    );
    let (status, log) = program.stop().await;
    assert!(status.success(), "{log}");
    assert!(!log.contains("export"), "{log}");
}

fn check(kept: &Kept) {
    let mut names: Vec<String> = kept.spans().into_iter().map(|span| span.name).collect();
    names.sort();
    assert_eq!(names, ["answer", "client poll", "hand-off", "proxy poll"]);
    let matched = kept.count("snowflake_broker_client_polls_total", "outcome", "matched");
    assert!((matched - 1.0).abs() < f64::EPSILON, "{matched}");

    let resources = kept.resources();
    let instance = attribute(&resources[0], "service.instance.id");
    assert_eq!(instance.len(), 36);
    for resource in &resources {
        assert_eq!(attribute(resource, "service.name"), "the-broker");
        assert_eq!(
            attribute(resource, "service.version"),
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(attribute(resource, "service.instance.id"), instance);
        assert_eq!(attribute(resource, "deployment.environment.name"), "a b");
    }
    for headers in &kept.headers {
        assert_eq!(headers["authorization"], "Bearer x");
        let agent = headers["user-agent"].to_str().unwrap();
        assert!(agent.starts_with("snowflake-broker/"), "{agent}");
    }
    check_privacy(kept);
}

fn check_privacy(kept: &Kept) {
    let watch = PrivacyWatch::default();
    for secret in [
        SID,
        SDP,
        "secret-answer",
        "torproject",
        "2B280B23",
        "/client",
    ] {
        watch.forbid(secret);
    }
    watch.check("exports", &kept.in_words());
    watch.assert_clean("");
    for family in kept.families() {
        for attributes in attribute_sets(family) {
            let tells = attributes.iter().any(|attribute| attribute.key == "cc");
            assert!(!tells, "{} tells countries", family.name);
        }
    }
}

fn attribute_sets(family: &Metric) -> Vec<&[opentelemetry_proto::tonic::common::v1::KeyValue]> {
    match family.data.as_ref().unwrap() {
        Data::Sum(sum) => sum
            .data_points
            .iter()
            .map(|point| &*point.attributes)
            .collect(),
        Data::Gauge(gauge) => gauge
            .data_points
            .iter()
            .map(|point| &*point.attributes)
            .collect(),
        Data::Histogram(histogram) => {
            let points = histogram.data_points.iter();
            points.map(|point| &*point.attributes).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_grpc() {
    let collector = Collector::start(None).await;
    let endpoint = format!("http://{}", collector.addr);
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ];
    rendezvous(&collector, &variables).await;
    check(&collector.kept());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http() {
    let collector = Collector::start(None).await;
    let endpoint = format!("http://{}/", collector.addr);
    rendezvous(&collector, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;
    check(&collector.kept());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_by_either() {
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&roots, pair.cert.pem()).unwrap();
    let key = pair.signing_key.serialize_pem();
    let resolver = CertResolver::default();
    let certificate = Certificate::from_pem(pair.cert.pem().as_bytes(), key.as_bytes());
    resolver.set(certificate.unwrap());
    let resolver = Arc::new(resolver);
    for protocol in ["grpc", "http/protobuf"] {
        let configs = ServerConfigs::new(&resolver).unwrap();
        let tls = Arc::new(move |hello: &[u8]| configs.choose(hello));
        let collector = Collector::start(Some(tls)).await;
        let endpoint = format!("https://localhost:{}", collector.addr.port());
        let variables = [
            ("SSL_CERT_FILE", roots.to_str().unwrap()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ];
        rendezvous(&collector, &variables).await;
        check(&collector.kept());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_signal_goes_where_its_own_settings_say() {
    let (for_traces, for_metrics) = (Collector::start(None).await, Collector::start(None).await);
    let traces = format!("http://{}/else/where", for_traces.addr);
    let metrics = format!("http://{}", for_metrics.addr);
    let variables = [
        ("SNOWFLAKE_BROKER_OTEL__TRACES_ENDPOINT", &*traces),
        ("SNOWFLAKE_BROKER_OTEL__METRICS_ENDPOINT", &metrics),
        ("SNOWFLAKE_BROKER_OTEL__METRICS_PROTOCOL", "grpc"),
        ("SNOWFLAKE_BROKER_OTEL__METRICS_INTERVAL", "50ms"),
        ALL,
    ];
    let program = Program::start(&variables).await;
    until("metrics come by themselves", || {
        for_metrics.kept().metrics.len() > 2
    })
    .await;
    program.rendezvous().await;
    program.stop().await;
    assert_eq!(for_traces.kept().spans().len(), 4);
    assert!(for_traces.kept().metrics.is_empty() && for_metrics.kept().traces.is_empty());
    let name = attribute(&for_metrics.kept().resources()[0], "service.name").to_owned();
    assert_eq!(name, "snowflake-broker");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_is_not_sent() {
    let collector = Collector::start(None).await;
    let endpoint = format!("http://{}", collector.addr);
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint);
    for off in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ] {
        let none = ("OTEL_METRICS_EXPORTER", "none");
        let program = Program::start(&[endpoint, ALL, none, off]).await;
        program.rendezvous().await;
        program.stop().await;
        let kept = collector.kept();
        assert!(kept.traces.is_empty() && kept.metrics.is_empty(), "{off:?}");
    }
}
