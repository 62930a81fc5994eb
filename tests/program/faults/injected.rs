//! Faults of the system that cannot be had otherwise: a library in the broker's process makes
//! the system's functions fail.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::sleep;

use crate::faults::broker::{Broker, Setup};
use crate::faults::stranger::connect;
use crate::faults::{BRIDGE, until};
use crate::support::full_disk::blocks;

/// A broker in which faults can be switched on.
fn breakable() -> Setup {
    let setup = Setup::new();
    fs::create_dir(setup.path("faults")).unwrap();
    let folder = setup.path("faults");
    setup
        .preloading("injected", include_str!("injected.c"))
        .with("FAULTS", folder)
}

/// One that often writes its log and state.
fn writing() -> Setup {
    let setup = breakable();
    let (log, state) = (setup.path("metrics.log"), setup.path("state"));
    setup
        .with("metrics.metrics_log", log)
        .with("metrics.state_directory", state)
        .with("metrics.metrics_interval", "1s")
        .with("metrics.save_interval", "50ms")
}

fn begin(faults: &Path, name: &str) -> PathBuf {
    let fault = faults.join(name);
    fs::write(&fault, "").unwrap();
    fault
}

/// The fault is over, and the broker has met it.
fn end(fault: &Path) {
    fs::remove_file(fault).unwrap();
    let met = fault.with_extension("met");
    assert!(met.exists(), "{} was never met", fault.display());
}

/// Every block of the log is whole, and there once.
fn assert_whole(log: &Path) {
    let text = fs::read_to_string(log).unwrap();
    let ends: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("snowflake-stats-end "))
        .collect();
    let different: BTreeSet<_> = ends.iter().collect();
    assert_eq!(different.len(), ends.len(), "{text}");
    let last = text.lines().last().unwrap_or_default();
    let first_block = text.split("snowflake-stats-end ").nth(1).unwrap();
    let last_line = first_block.lines().last().unwrap_or_default();
    let key = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    assert_eq!(key(last), key(last_line), "{text}");
}

#[tokio::test]
async fn a_disk_that_does_not_sync() {
    let broker = writing().start().await;
    let before = broker.at_rest().await;
    let log = broker.path("metrics.log");
    until("the first block is there", || blocks(&log) > 0).await;

    let fault = begin(&broker.path("faults"), "sync");
    for warning in [
        "metrics.log, and will try again",
        "metrics.state_directory: cannot save the window",
    ] {
        until(warning, || broker.log().contains(warning)).await;
    }
    broker.recovers("a disk that does not sync", before).await;
    let written = blocks(&log);

    end(&fault);
    until("the missing blocks are there", || {
        blocks(&log) > written + 1
    })
    .await;
    broker.recovers("a disk that did not sync", before).await;
    let _kept = broker.stop().await;
    assert_whole(&log);
}

#[tokio::test]
async fn files_that_take_half_of_what_they_are_given() {
    let setup = writing();
    let fault = begin(&setup.path("faults"), "short-writes");
    let broker = setup.start().await;
    let log = broker.path("metrics.log");
    until("there are blocks", || blocks(&log) > 1).await;
    let before = broker.at_rest().await;
    broker.recovers("short writes", before).await;
    end(&fault);
    let broker = broker.stop().await.start().await;
    assert!(!broker.log().contains("damaged"), "{}", broker.log());
    let _kept = broker.stop().await;
    assert_whole(&log);
}

#[tokio::test]
async fn no_memory_for_connections() {
    let broker = breakable().start().await;
    let before = broker.at_rest().await;
    let fault = begin(&broker.path("faults"), "accept");
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(connect(broker.addr, b"").await);
    }
    until("it says so", || {
        broker.log().contains("annot allocate memory")
    })
    .await;
    let seconds = Duration::from_secs(2);
    let used = broker.processor_time();
    sleep(seconds).await;
    let used = broker.processor_time().saturating_sub(used);
    assert!(used < seconds / 4, "it was busy for {used:?}");

    end(&fault);
    drop(waiting);
    broker.recovers("no memory for connections", before).await;
    broker.stop().await;
}

#[tokio::test]
async fn a_name_server_that_does_not_reply() {
    let setup = breakable();
    let bridges = setup.path("bridges.json");
    fs::write(&bridges, BRIDGE).unwrap();
    let fault = begin(&setup.path("faults"), "names");
    let broker = setup
        .with("broker.bridge_list_path", bridges)
        .with("broker.allowed_relay_pattern", "")
        // Each looks up a name.
        .with("bridges.probe", "true")
        .with(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://collector.example:4318",
        )
        .start()
        .await;
    let before = broker.at_rest().await;
    broker.send(Signal::HUP);
    until("it reloads", || reloads(&broker) > 0).await;
    broker.recovers("a name server that hangs", before).await;
    let _kept = broker.end().await;
    end(&fault);
}

/// The task that ends windows looks at the wall clock each second, and nobody else does while
/// nobody comes.
#[tokio::test]
async fn a_task_that_panics_ends_the_program() {
    let setup = breakable();
    let log = setup.path("metrics.log");
    let broker = setup
        .with("metrics.metrics_log", &log)
        .with("metrics.metrics_interval", "1s")
        .start()
        .await;
    until("the first block is there", || blocks(&log) > 0).await;
    begin(&broker.path("faults"), "wall-clock");
    let (status, log) = broker.ends().await;
    assert_eq!(status.code(), Some(1), "{log}");
    let named = "persistence has ended unexpectedly";
    assert!(log.contains(named), "{log}");
}

fn reloads(broker: &Broker) -> usize {
    broker.log().matches("configuration reloaded").count()
}
