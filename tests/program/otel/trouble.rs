//! Collectors that do not exist, do not reply, or refuse.

use std::time::{Duration, Instant};

use snowflake_broker::broker::clock;
use tokio::net::TcpListener;

use crate::otel::collector::Collector;
use crate::otel::program::Program;
use crate::otel::until;
use crate::support::port;

const ALL: (&str, &str) = ("OTEL_TRACES_SAMPLER_ARG", "1");
const OFTEN: (&str, &str) = ("OTEL_METRIC_EXPORT_INTERVAL", "20");

/// The maximum duration of a stop: the promised total, plus some time for a busy machine.
const STOP_MAX: Duration = Duration::from_secs(20);

async fn stop(program: Program) -> String {
    let start: Instant = clock::now();
    let (status, log) = program.stop().await;
    assert!(status.success(), "{log}");
    assert!(clock::now() - start < STOP_MAX, "{log}");
    log
}

fn lines(log: &str, part: &str) -> usize {
    log.lines().filter(|line| line.contains(part)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_collector_costs_a_warning_for_each_signal() {
    let endpoint = format!("http://127.0.0.1:{}", port::free().unwrap());
    for protocol in ["grpc", "http/protobuf"] {
        let program = Program::start(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "50"),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
            ALL,
            OFTEN,
        ])
        .await;
        for _ in 0..3 {
            program.rendezvous().await;
        }
        until("it warns of both", || {
            let log = program.log();
            lines(&log, "traces cannot be") == 1 && lines(&log, "metrics cannot be") == 1
        })
        .await;
        program.rendezvous().await;
        let log = stop(program).await;
        assert_eq!(lines(&log, "cannot be exported"), 2, "{log}");
        let mut others = log
            .lines()
            .filter(|line| !line.contains("serving clients and proxies"));
        assert!(others.all(|line| !line.contains("127.0.0.1")), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_does_not_answer_does_not_keep_the_broker() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    for protocol in ["grpc", "http/protobuf"] {
        let program = Program::start(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000"),
            ("SNOWFLAKE_BROKER_MATCHING__CLIENT_TIMEOUT", "1s"),
            ALL,
        ])
        .await;
        program.rendezvous().await;
        let log = stop(program).await;
        assert_eq!(lines(&log, "the last traces were not exported in time"), 1);
        assert_eq!(lines(&log, "the last metrics were not exported in time"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_now_is_sent_again() {
    for protocol in ["grpc", "http/protobuf"] {
        let collector = Collector::start(None).await;
        collector.kept().refusals = 1;
        let endpoint = format!("http://{}", collector.addr);
        let program = Program::start(&[
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                &*format!("{endpoint}/v1/traces"),
            ),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ALL,
        ])
        .await;
        program.rendezvous().await;
        let log = stop(program).await;
        assert_eq!(collector.kept().spans().len(), 4, "{log}");
        assert_eq!(lines(&log, "cannot be exported"), 0, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_thrown_away_is_told_but_not_what_the_collector_says_of_it() {
    let collector = Collector::start(None).await;
    collector.kept().rejects = 3;
    let endpoint = format!("http://{}", collector.addr);
    let program = Program::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint), ALL]).await;
    program.rendezvous().await;
    let log = stop(program).await;
    assert_eq!(
        lines(&log, "traces cannot be exported: the collector rejected 3"),
        1,
        "{log}"
    );
    assert!(!log.contains("from "), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_told() {
    let collector = Collector::start(None).await;
    let endpoint = format!("http://{}/gone", collector.addr);
    let program =
        Program::start(&[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &*endpoint), OFTEN]).await;
    until("it warns", || {
        program
            .log()
            .contains("metrics cannot be exported: HTTP status 410")
    })
    .await;
    stop(program).await;
}
