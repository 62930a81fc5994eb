//! A wall clock that is changed by an hour, while the broker runs or between two runs.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use snowflake_broker::broker::clock;
use tokio::process::Command;

use crate::faults::broker::{Broker, Setup};
use crate::faults::until;
use crate::support::faketime::{self, set_clock};
use crate::support::stats_log::{self, Block};

const HOUR: Duration = Duration::from_hours(1);

/// The maximum reported length of a window of one second, on a machine that is busy with
/// other tests.
const SHORT: u64 = 60;

/// A broker whose wall clock has an offset from a file. Its other clocks are unaffected,
/// as when the time is set.
fn with_own_clock() -> Setup {
    let setup = Setup::new().over_tls();
    let offset = setup.path("offset");
    set_clock(&offset, "+0");
    let (log, state) = (setup.path("metrics.log"), setup.path("state"));
    setup
        .with("LD_PRELOAD", faketime::library())
        .with("FAKETIME_TIMESTAMP_FILE", offset)
        .with("FAKETIME_NO_CACHE", "1")
        .with("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .with("NO_FAKE_STAT", "1")
        .with("metrics.metrics_log", log)
        .with("metrics.state_directory", state)
        .with("metrics.save_interval", "50ms")
}

fn blocks(log: &Path) -> Vec<Block> {
    let text = fs::read_to_string(log).unwrap_or_default();
    // The last block may still be incomplete.
    let whole = text.rfind("\nsnowflake-ips-nat-open ").and_then(|at| {
        let end = text[at + 1..].find('\n')?;
        Some(at + 1 + end + 1)
    });
    stats_log::parse(&text[..whole.unwrap_or_default()]).unwrap()
}

fn end(block: &Block) -> SystemTime {
    let end: Timestamp = format!("{}Z", block.end.replace(' ', "T")).parse().unwrap();
    end.into()
}

#[track_caller]
fn assert_close(end: SystemTime, expected: SystemTime) {
    let apart = end
        .duration_since(expected)
        .unwrap_or_else(|early| early.duration());
    assert!(apart < Duration::from_secs(SHORT), "{apart:?} apart");
}

async fn until_blocks(broker: &Broker, count: usize) -> Vec<Block> {
    let log = broker.path("metrics.log");
    until("the blocks are there", || blocks(&log).len() >= count).await;
    blocks(&log)
}

/// Sets the clock of a broker with short windows and recordings.
async fn step(seconds: &str, expected: impl Fn(SystemTime) -> SystemTime) {
    let setup = with_own_clock()
        .with("metrics.metrics_interval", "1s")
        .with("metrics.ip_count_interval", "300ms");
    let prefix = setup.path("ips-");
    let setup = setup.with("metrics.ip_count_prefix", &prefix);
    let broker = setup.start().await;
    let before = broker.at_rest().await;
    let so_far = until_blocks(&broker, 1).await;
    assert_close(end(&so_far[0]), clock::wall_clock());

    set_clock(&broker.path("offset"), seconds);
    broker
        .recovers(&format!("a clock set by {seconds} s"), before)
        .await;
    until_blocks(&broker, so_far.len() + 3).await;
    let noticed = broker.log().matches("the clock was set: ").count();
    assert_eq!(noticed, 1, "{}", broker.log());
    let (_, published) = broker.peer().await.post("/metrics", String::new()).await;
    let pairs_at = clock::wall_clock();
    broker.rendezvous().await;
    let setup = broker.stop().await;

    let all = blocks(&setup.path("metrics.log"));
    assert_close(end(all.last().unwrap()), expected(pairs_at));
    let lengths: Vec<u64> = all.iter().map(|block| block.seconds).collect();
    assert!(lengths.iter().all(|length| *length < SHORT), "{lengths:?}");
    assert!(stats_log::parse(&published).unwrap().len() >= so_far.len() + 3);
    let recordings = fs::read_dir(prefix.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_one = |path: &std::path::PathBuf| path.extension().is_some_and(|ext| ext == "jsonl");
    let output = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"))
        .arg("count-ips")
        .args(recordings.filter(is_one))
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn an_hour_forward() {
    step("+3600", |now| now + HOUR).await;
}

#[tokio::test]
async fn an_hour_back() {
    step("-3600", |now| now - HOUR).await;
}

/// The window continues, however the clock was set in between.
#[tokio::test]
async fn between_two_starts() {
    let setup = with_own_clock().with("metrics.metrics_interval", "1d");
    let (offset, log) = (setup.path("offset"), setup.path("metrics.log"));
    let broker = setup.start().await;
    broker.rendezvous().await;
    let setup = broker.stop().await;

    set_clock(&offset, "-3600");
    let broker = setup.start().await;
    broker.rendezvous().await;
    let setup = broker.stop().await;

    set_clock(&offset, "+3600");
    let broker = setup.start().await;
    broker.rendezvous().await;
    let setup = broker.stop().await;
    assert!(blocks(&log).is_empty());

    let setup = setup.with("metrics.metrics_interval", "1s");
    let broker = setup.start().await;
    let first = until_blocks(&broker, 1).await.remove(0);
    broker.stop().await;
    assert_eq!(first.count("client-snowflake-match-count"), 8);
    // Nothing distinguishes the two hours by which the clock was set forward from real
    // time.
    assert!((7_200..7_200 + SHORT).contains(&first.seconds), "{first:?}");
}
