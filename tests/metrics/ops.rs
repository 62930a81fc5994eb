//! The files in ops/ work with the Prometheus shipped by Debian: it can scrape the
//! broker, alerts fire when they should, and the dashboard has data.

mod busy_broker;
mod dashboard;
mod prometheus;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;
use tempfile::tempdir;

use busy_broker::BusyBroker;
use dashboard::Dashboard;
use prometheus::{Prometheus, promtool};

use crate::support::wait::until;

/// Events that must have happened in a busy broker, so that the dashboard shows more than
/// zeros: each with its number of series.
const EVENTS: [(&str, f64); 11] = [
    (
        "sum by (outcome) (snowflake_broker_client_polls_total)",
        5.0,
    ),
    ("sum by (outcome) (snowflake_broker_proxy_polls_total)", 4.0),
    (
        "sum by (outcome) (snowflake_broker_proxy_answers_total)",
        7.0,
    ),
    ("sum by (reason) (snowflake_broker_refusals_total)", 6.0),
    (
        "sum by (reason) (snowflake_broker_connections_dropped_total)",
        1.0,
    ),
    (
        "sum by (rendezvous) (snowflake_broker_request_to_answer_seconds_count)",
        2.0,
    ),
    ("sum(snowflake_broker_rematches_total)", 1.0),
    ("sum(snowflake_broker_second_answers_total)", 1.0),
    ("sum(snowflake_broker_clients_queued_total)", 1.0),
    ("sum(snowflake_broker_tls_handshake_failures_total)", 1.0),
    ("snowflake_broker_certificate_expiry_timestamp_seconds", 1.0),
];

/// Families without figures in the test: a match has worked after two minutes, and a
/// country needs clients of 8 addresses.
const SELDOM: [&str; 3] = [
    "snowflake_broker_tries_until_served",
    "snowflake_broker_until_served_seconds",
    "snowflake_broker_rounded_match_outcomes_by_country_total",
];

fn ops(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ops").join(path)
}

#[tokio::test]
async fn the_alerts_are_rules_and_pass_their_tests() {
    for (act, file) in [("check", "alerts.yml"), ("test", "alerts_test.yml")] {
        let file = ops("prometheus").join(file);
        let (status, output) = promtool(&[act, "rules", file.to_str().unwrap()], "").await;
        assert!(status.success(), "{output}");
    }
}

#[tokio::test]
async fn prometheus_takes_the_configuration_in_the_page() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, block) = page.split_once("\n```yaml\n").unwrap();
    let (config, _) = block.split_once("\n```").unwrap();
    let scratch = tempdir().unwrap();
    let file = scratch.path().join("prometheus.yml");
    fs::write(&file, config).unwrap();
    fs::copy(
        ops("prometheus/alerts.yml"),
        scratch.path().join("alerts.yml"),
    )
    .unwrap();
    let (status, output) = promtool(&["check", "config", file.to_str().unwrap()], "").await;
    assert!(status.success(), "{output}");
}

#[test]
fn every_alert_is_tested_when_it_fires_and_when_it_must_not() {
    let rules = fs::read_to_string(ops("prometheus/alerts.yml")).unwrap();
    let tests = fs::read_to_string(ops("prometheus/alerts_test.yml")).unwrap();
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() > 5, "{alerts:?}");
    for alert in alerts {
        let expr = format!("expr: ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}\n");
        let expected: Vec<&str> = tests
            .split(&expr)
            .skip(1)
            .filter_map(|rest| rest.lines().next())
            .map(str::trim)
            .collect();
        assert!(expected.contains(&"exp_samples:"), "{alert} never fires");
        assert!(
            expected.contains(&"exp_samples: []"),
            "{alert} has to fire always"
        );
    }
}

#[tokio::test]
async fn prometheus_reads_a_busy_broker_and_the_dashboard_shows_it() {
    let scratch = tempdir().unwrap();
    let broker = BusyBroker::start(scratch.path()).await.unwrap();
    let rules = ops("prometheus/alerts.yml");
    let scrape = broker.scrape_config();
    let prometheus = Prometheus::start(scratch.path(), &scrape, &rules)
        .await
        .unwrap();
    // Rates show only changes between two scrapes.
    holds(&prometheus, "sum(up) == 2").await.unwrap();
    broker.be_busy().await.unwrap();

    for (events, series) in EVENTS {
        let happened = format!("count({events} > 0) == {series}");
        holds(&prometheus, &happened).await.unwrap();
    }
    let dashboard = Dashboard::read(&ops("grafana/snowflake-broker.json"));
    let queries = dashboard.queries();
    assert!(queries.len() > 40, "{queries:#?}");
    let metrics = broker.metrics().await;
    for query in queries {
        match SELDOM.iter().find(|family| query.contains(**family)) {
            Some(family) => {
                prometheus.query(&query).await.unwrap();
                assert!(metrics.contains(&format!("# TYPE {family}")), "{family}");
            }
            None => has_data(&prometheus, &query).await.unwrap(),
        }
    }
    for query in dashboard.queries_of_annotations() {
        prometheus.query(&query).await.unwrap();
    }
    let books = dashboard.queries_of_row("Do the books balance?");
    assert_eq!(books.len(), 2);
    for difference in books {
        holds(&prometheus, &format!("({difference}) == 0"))
            .await
            .unwrap();
    }
    alerts_can_be_judged(&prometheus).await;
    exposition_is_to_promtools_taste(&broker).await;
}

/// Waits until the comparison is true for anything.
async fn holds(prometheus: &Prometheus, comparison: &str) -> Result<()> {
    until(comparison, async || {
        let values = prometheus.query(comparison).await?;
        Ok((!values.is_empty()).then_some(()))
    })
    .await
}

/// Waits until the query has a number as its result.
async fn has_data(prometheus: &Prometheus, query: &str) -> Result<()> {
    until(&format!("{query} has data"), async || {
        let values = prometheus.query(query).await?;
        Ok(values.iter().any(|value| value.is_finite()).then_some(()))
    })
    .await
}

/// Checks that every alert is evaluated without an error, and has a summary and a
/// description.
async fn alerts_can_be_judged(prometheus: &Prometheus) {
    let evaluated = until("the alerts are evaluated", async || {
        let rules = prometheus.alerting_rules().await?;
        let is_new = |rule: &Value| rule["health"] == "unknown";
        Ok((!rules.is_empty() && !rules.iter().any(is_new)).then_some(rules))
    });
    for rule in evaluated.await.unwrap() {
        assert_eq!(rule["health"], "ok", "{rule}");
        for text in ["summary", "description"] {
            assert!(rule["annotations"][text].is_string(), "{rule}");
        }
    }
}

/// promtool objects to nothing, not even to the reference broker's names.
async fn exposition_is_to_promtools_taste(broker: &BusyBroker) {
    let exposed = broker.metrics().await;
    assert!(exposed.lines().count() > 500, "{exposed}");
    let (status, output) = promtool(&["check", "metrics"], &exposed).await;
    assert!(status.success() && output.is_empty(), "{output}");
    // promtool 2.42 reads OpenMetrics as the older format, in which help texts of
    // counters have another name. It complains about that, and about nothing else.
    let exposed = broker.open_metrics().await.unwrap();
    let (_, output) = promtool(&["check", "metrics"], &exposed).await;
    let mut lines = output.lines();
    assert!(
        lines.all(|line| line.ends_with("_total no help text")),
        "{output}"
    );
}
