//! A stranger at a bad time: files are broken, the disk is full, the clock is set, the
//! process is stopped.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::broker::{Broker, Setup};
use crate::report::Row;
use crate::stranger::{connect, over_and_over, read_to_end};
use crate::support::faketime::{self, set_clock};
use crate::support::full_disk::{blocks, fill};
use crate::{ATTACK, until};

/// A list with the bridge that clients ask for.
const BRIDGE: &str = r#"{"displayName":"default","webSocketAddress":"wss://a.example/","fingerprint":"2B280B23E1107BB62ABFC40DDCC8824814F80A72"}"#;

/// Sends requests that cause log lines while the fault lasts.
async fn rubbish() -> usize {
    let mut stream = connect(b"POST /proxy HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}").await;
    stream.set_zero_linger().unwrap();
    tokio::time::timeout(Duration::from_millis(100), read_to_end(&mut stream))
        .await
        .ok();
    1
}

/// Signals by the hundred, for files of which every other version is broken.
pub(crate) async fn reloads() -> Row {
    let setup = Setup::new();
    let [bridges, intervals] = ["bridges.json", "intervals.json"].map(|name| setup.path(name));
    fs::write(&bridges, BRIDGE).unwrap();
    fs::write(&intervals, "{}").unwrap();
    let setup = setup
        .with("broker.bridge_list_path", &bridges)
        .with("broker.allowed_relay_pattern", "")
        .with("poll_interval.filepath", &intervals);
    let attack = async |broker: &Broker| {
        let storm = async {
            let mut signals = 0;
            let mut every = interval(Duration::from_millis(2));
            while every.tick().await.elapsed() < ATTACK && signals < 2_000 {
                let broken = ["rubbish", "{", "\0", ""][signals / 2 % 4];
                fs::write(&bridges, [BRIDGE, broken][signals % 2]).unwrap();
                fs::write(&intervals, ["{}", broken][signals / 3 % 2]).unwrap();
                broker.send(Signal::HUP);
                signals += 1;
            }
            signals
        };
        let (signals, requests) = tokio::join!(storm, over_and_over(5, rubbish));
        // The last signal takes effect, however many came before it.
        fs::write(&bridges, BRIDGE).unwrap();
        fs::write(&intervals, "{}").unwrap();
        let reloads = || broker.log().matches("configuration reloaded").count();
        let so_far = reloads();
        broker.send(Signal::HUP);
        until("the broker reloads", async || reloads() > so_far).await;
        format!("{signals} signals, {requests} requests")
    };
    setup.start().await.withstands(attack).await
}

/// The log and the state are on their own disk. In its own namespace an unprivileged user
/// can mount one.
pub(crate) async fn full_disk() -> Row {
    let setup = Setup::new();
    let disk = setup.path("disk");
    fs::create_dir(&disk).unwrap();
    let mount = "mount -t tmpfs -o size=256k none \"$0\" && exec \"$@\"";
    let unshare = ["unshare", "--user", "--map-root-user", "--mount", "--"];
    let shell = ["sh", "-c", mount, disk.to_str().unwrap()];
    let setup = setup
        .under(&[&unshare[..], &shell].concat())
        .with("metrics.metrics_log", disk.join("metrics.log"))
        .with("metrics.state_directory", disk.join("state"))
        .with("metrics.metrics_interval", "1s")
        .with("metrics.save_interval", "50ms");
    let attack = async |broker: &Broker| {
        let log = broker.its_own(&disk).join("metrics.log");
        until("the first block is there", async || blocks(&log) > 0).await;
        let filler = broker.its_own(&disk).join("filler");
        fill(&filler);
        let requests = over_and_over(5, rubbish).await;
        for warning in ["metrics.log, and will try again", "cannot save the window"] {
            until(warning, async || broker.log().contains(warning)).await;
        }
        let written = blocks(&log);
        fs::remove_file(&filler).unwrap();
        until("the missing blocks are there", async || {
            blocks(&log) > written + 1
        })
        .await;
        format!("{requests} requests, every block written in the end")
    };
    setup.start().await.withstands(attack).await
}

/// The wall clock jumps back and forth by hours; the monotonic clock does not, because
/// setting the time does not affect it.
pub(crate) async fn clock_steps() -> Row {
    let setup = Setup::new();
    let offset = setup.path("offset");
    set_clock(&offset, "+0");
    let (log, state) = (setup.path("metrics.log"), setup.path("state"));
    let setup = setup
        .with("LD_PRELOAD", faketime::library())
        .with("FAKETIME_TIMESTAMP_FILE", &offset)
        .with("FAKETIME_NO_CACHE", "1")
        .with("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .with("NO_FAKE_STAT", "1")
        .with("metrics.metrics_log", log)
        .with("metrics.state_directory", state)
        .with("metrics.metrics_interval", "1s");
    let attack = async |broker: &Broker| {
        let steps = async {
            for step in ["+3600", "-3600", "+86400", "-86400", "+0"] {
                set_clock(&offset, step);
                sleep(ATTACK / 5).await;
            }
        };
        let ((), requests) = tokio::join!(steps, over_and_over(5, rubbish));
        until("the clock step is noticed", async || {
            broker.log().contains("the clock was set: ")
        })
        .await;
        format!("{requests} requests, a clock set 5 times by up to a day")
    };
    setup.start().await.withstands(attack).await
}

/// The process is stopped while connections arrive, as by a hypervisor.
pub(crate) async fn stopped() -> Row {
    const CONNECTIONS: usize = 500;
    const STOPPED: Duration = Duration::from_secs(2);
    let attack = async |broker: &Broker| {
        broker.send(Signal::STOP);
        let mut connections = JoinSet::new();
        for _ in 0..CONNECTIONS {
            connections.spawn(async {
                let mut stream = connect(b"GET /robots.txt HTTP/1.0\r\n\r\n").await;
                read_to_end(&mut stream).await
            });
        }
        sleep(STOPPED).await;
        broker.send(Signal::CONT);
        let replies = connections.join_all().await;
        let served = replies.iter().filter(|reply| reply.contains("Disallow"));
        assert_eq!(served.count(), CONNECTIONS);
        sleep(ATTACK).await;
        format!("{CONNECTIONS} connections within {STOPPED:?}, all served")
    };
    Setup::new().start().await.withstands(attack).await
}
