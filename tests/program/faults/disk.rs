//! A disk that is full or read-only.

use std::fs;
use std::path::PathBuf;

use tokio::process::Command;

use crate::faults::broker::{Broker, Setup};
use crate::faults::until;
use crate::support::full_disk::{blocks, fill};

/// A broker that often writes its log and state to a separate disk. In its own namespace,
/// an ordinary user may mount one, too.
async fn on_a_disk(mount: &str) -> Broker {
    let setup = Setup::new();
    let disk = setup.path("disk");
    fs::create_dir(&disk).unwrap();
    let mount = format!("{mount} && exec \"$@\"");
    let disk = disk.to_str().unwrap().to_owned();
    let unshare = ["unshare", "--user", "--map-root-user", "--mount", "--"];
    let shell = ["sh", "-c", &mount, &disk];
    let setup = setup
        .under(&[&unshare[..], &shell].concat())
        .with("metrics.metrics_log", format!("{disk}/metrics.log"))
        .with("metrics.state_directory", format!("{disk}/state"))
        .with("metrics.metrics_interval", "1s")
        .with("metrics.save_interval", "50ms");
    setup.start().await
}

/// A path from the broker's view.
fn seen_by(broker: &Broker, name: &str) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", broker.pid()));
    root.join(broker.path("disk").strip_prefix("/").unwrap())
        .join(name)
}

#[tokio::test]
async fn a_disk_that_fills_up() {
    let broker = on_a_disk("mount -t tmpfs -o size=256k none \"$0\"").await;
    let before = broker.at_rest().await;
    let log = seen_by(&broker, "metrics.log");
    until("the first block is there", || blocks(&log) > 0).await;

    let filler = seen_by(&broker, "filler");
    fill(&filler);
    for warning in [
        "metrics.log, and will try again",
        "metrics.state_directory: cannot save the window",
    ] {
        until(warning, || broker.log().contains(warning)).await;
    }
    broker.recovers("a full disk", before).await;
    let written = blocks(&log);

    fs::remove_file(&filler).unwrap();
    until("the missing blocks are there", || {
        blocks(&log) > written + 1
    })
    .await;
    let window = seen_by(&broker, "state/metrics-window.json");
    until("the window is saved", || window.exists()).await;
    broker.recovers("a disk that was full", before).await;
    broker.stop().await;
}

#[tokio::test]
async fn a_disk_that_is_read_only() {
    let mount = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"";
    let broker = on_a_disk(mount).await;
    let before = broker.at_rest().await;
    for warning in [
        "metrics.log, and will try again: read-only file system",
        "metrics.state_directory: cannot save the window",
    ] {
        until(warning, || broker.log().contains(warning)).await;
    }
    broker.recovers("a disk that is read-only", before).await;

    let disk = broker.path("disk");
    let status = Command::new("nsenter")
        .args(["--target", &broker.pid().to_string()])
        .args(["--user", "--mount", "--preserve-credentials", "--"])
        .args(["mount", "-o", "remount,bind,rw"])
        .arg(&disk)
        .status()
        .await
        .expect("nsenter is missing: run tests/run once");
    assert!(status.success(), "{status}");
    until("the blocks are written", || {
        blocks(&disk.join("metrics.log")) > 1
    })
    .await;
    let window = disk.join("state/metrics-window.json");
    until("the window is saved", || window.exists()).await;
    broker.recovers("a disk that was read-only", before).await;
    broker.stop().await;
}
