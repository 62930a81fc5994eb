//! The load generator loads a real broker, and whatever it asks for, nothing is
//! lost and nothing crossed. How fast anything is does not matter here.

use std::time::Duration;

use axum::Router;
use axum::routing::any;
use serde_json::Value;
use snowflake_broker::listener::Settings;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::examples::{BROKER, example};
use crate::support::serve;

/// Bounds a run that would hang; none is expected to come near it.
const LONG_ENOUGH: Duration = Duration::from_mins(2);

/// Runs the load generator for a moment; its exit code and report.
async fn load(arguments: &[&str]) -> (Option<i32>, Value) {
    let mut command = Command::new(example("load"));
    command
        .args(["--json", "--warm-up=0s", "--duration=700ms", "--settle=0s"])
        .args(["--proxies=40", "--clients=10"])
        .args(arguments)
        .kill_on_drop(true);
    let output = timeout(LONG_ENOUGH, command.output())
        .await
        .unwrap()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|_| panic!("no report: {output:?}"));
    (output.status.code(), report)
}

/// Loads a broker, and demands that the outcomes are these and no others.
async fn load_broker(arguments: &[&str], outcomes: &[&str]) -> Value {
    let (code, report) = load(&[&["--broker", BROKER], arguments].concat()).await;
    assert_eq!(code, Some(0), "{report:#}");
    assert_clean(&report["broker"][0], outcomes);
    report
}

fn assert_clean(run: &Value, outcomes: &[&str]) {
    assert_eq!(run["correct"], true, "{run:#}");
    assert_eq!(run["lost"], 0, "{run:#}");
    let counts = run["outcomes"].as_object().unwrap().iter();
    for (outcome, count) in counts {
        let count = count.as_u64().unwrap();
        assert!(count == 0 || outcomes.contains(&&**outcome), "{run:#}");
    }
    assert_eq!(count(run, "client_matched"), count(run, "answer_delivered"));
    assert!(count(run, "client_matched") > 0, "{run:#}");
}

fn count(run: &Value, outcome: &str) -> u64 {
    run["outcomes"][outcome].as_u64().unwrap()
}

const MATCHES: [&str; 3] = ["client_matched", "poll_matched", "answer_delivered"];

#[tokio::test]
async fn the_floor_does_the_same_as_the_broker() {
    let floor = example("floor");
    let report = load_broker(&["--floor", floor.to_str().unwrap()], &MATCHES).await;
    assert_clean(&report["floor"][0], &MATCHES);
    let measured = &report["broker"][0]["measured"];
    assert!(measured["cpu_seconds"].as_f64().is_some(), "{report:#}");
}

#[tokio::test]
async fn other_brokers_are_put_under_the_same_load() {
    let others = ["--reference", BROKER, "--against", BROKER];
    let report = load_broker(&others, &MATCHES).await;
    assert_clean(&report["reference"][0], &MATCHES);
    assert_clean(&report["earlier"][0], &MATCHES);
}

#[tokio::test]
async fn connections_are_of_every_kind() {
    for arguments in [
        &["--http2", "--streams=4"][..],
        &["--tls"],
        &["--tls", "--http2"],
        &["--no-keep-alive", "--sources=3"],
        &["--tls", "--no-keep-alive", "--resume"],
    ] {
        let report = load_broker(arguments, &MATCHES).await;
        let handshakes = &report["broker"][0]["handshakes"];
        let resumed = handshakes["resumed"].as_u64() > Some(0);
        assert_eq!(handshakes["all"] != 0, arguments.contains(&"--tls"));
        assert_eq!(resumed, arguments.contains(&"--resume"), "{report:#}");
    }
}

#[tokio::test]
async fn clients_come_at_a_rate_to_proxies_that_are_slow_or_silent() {
    let arguments = [
        "--rate=40",
        "--answer-delay=10ms..100ms",
        "--silent=0.2",
        "--proxy-nat=unrestricted=3,restricted=1",
        "--client-nat=unrestricted=1,restricted=3",
    ];
    // A client that meets two silent proxies times out.
    let more = ["client_timed_out", "answer_withheld", "answer_client_gone"];
    let report = load_broker(&arguments, &[&MATCHES[..], &more].concat()).await;
    let clients =
        ["client_matched", "client_timed_out"].map(|outcome| count(&report["broker"][0], outcome));
    assert_eq!(clients.iter().sum::<u64>(), 28, "{report:#}");
}

#[tokio::test]
async fn polls_and_clients_come_as_over_a_day() {
    let arguments = [
        "--poll-rate=200",
        "--rate=100",
        "--swing=0.5",
        "--sample-every=100ms",
        "--silent=0.3",
        "--proxies=400",
    ];
    let more = [
        "client_timed_out",
        "answer_withheld",
        "answer_client_gone",
        "poll_idle",
    ];
    let report = load_broker(&arguments, &[&MATCHES[..], &more].concat()).await;
    let run = &report["broker"][0];
    assert_eq!(run["parked_polls"], 0, "{report:#}");
    let samples = run["samples"].as_array().unwrap();
    assert!(samples.len() >= 3, "{report:#}");
    let sum = |outcome: &str| {
        let counts = samples.iter().map(|sample| &sample["outcomes"][outcome]);
        counts.map(|count| count.as_u64().unwrap()).sum::<u64>()
    };
    // As many in all as at the mean rate.
    let clients: u64 = ["client_matched", "client_timed_out"]
        .map(|outcome| count(run, outcome))
        .iter()
        .sum();
    assert!((70..=71).contains(&clients), "{report:#}");
    assert!(sum("client_matched") <= count(run, "client_matched"));
    assert!(sum("poll_matched") <= count(run, "poll_matched"));
}

#[tokio::test]
async fn polls_are_parked_without_clients() {
    let (code, report) = load(&["--broker", BROKER, "--clients=0"]).await;
    let run = &report["broker"][0];
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(run["parked_polls"], 40, "{report:#}");
    assert!(run["memory"]["with_parked_polls"].as_u64() > Some(0));
    assert!(run["start_up_seconds"].as_f64() > Some(0.0));
}

#[tokio::test]
async fn what_is_crossed_or_damaged_is_found_out() {
    let wrong_offer = r#"{"Status":"client match","Offer":"{}","NAT":"unknown"}"#;
    let router = Router::new()
        .route("/proxy", any(async move || wrong_offer))
        .route("/client", any(async || r#"{"answer":"{}"}"#));
    let addr = serve::serve(router, Settings::default(), None).await;
    let (code, report) = load(&["--url", &format!("http://{addr}")]).await;
    let run = &report["broker"][0];
    assert_eq!(code, Some(1), "{report:#}");
    assert_eq!(run["correct"], false, "{report:#}");
    assert!(count(run, "client_crossed") > 0, "{report:#}");
    assert!(count(run, "poll_damaged") > 0, "{report:#}");
}

/// The measurement of what it costs to borrow, in short.
#[tokio::test]
async fn borrowed_matches_are_answered_as_own_ones_are() {
    let mut command = Command::new(example("borrowing"));
    command
        .args(["--broker", BROKER, "--proxies=20", "--rate=20"])
        .args(["--round=1s", "--rounds=1", "--peers=2", "--idle=1s"])
        .kill_on_drop(true);
    let output = timeout(LONG_ENOUGH, command.output())
        .await
        .unwrap()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let table = String::from_utf8(output.stdout).unwrap();
    for row in ["own       20        0", "borrowed  20        0", "2 peers"] {
        assert!(table.contains(row), "{table}");
    }
}
