//! A shortage of file descriptors.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::sleep;

use crate::faults::broker::Setup;
use crate::faults::stranger::connect;
use crate::faults::{BRIDGE, until};

const LIMIT: usize = 64;
const FULL: &str = "it is over listener.max_connections";

#[tokio::test]
async fn a_full_house_leaves_descriptors_for_files_and_closes_what_is_over() {
    let setup = Setup::new();
    let bridges = setup.path("bridges.json");
    fs::write(&bridges, BRIDGE).unwrap();
    let limit = format!("--nofile={LIMIT}:{LIMIT}");
    let setup = setup
        .under(&["prlimit", &limit, "--"])
        .with("broker.bridge_list_path", bridges)
        .with("broker.allowed_relay_pattern", "")
        // Some of the connections below must exist before others close.
        .with("listener.header_read_timeout", "1h");
    let broker = setup.start().await;
    let before = broker.at_rest().await;
    let (mut proxy, mut client) = tokio::join!(broker.peer(), broker.peer());
    broker.rendezvous_of(&mut proxy, &mut client).await;
    let files = broker.open_files();

    let mut connections = Vec::new();
    for _ in 0..3 * LIMIT {
        connections.push(connect(broker.addr, b"").await);
    }
    until("it says so", || broker.log().contains(FULL)).await;
    assert!(!broker.log().contains("Too many open files"));
    assert!(broker.open_files() < LIMIT, "{}", broker.open_files());
    let seconds = Duration::from_secs(2);
    let used = broker.processor_time();
    sleep(seconds).await;
    let used = broker.processor_time().saturating_sub(used);
    assert!(used < seconds / 2, "it was busy for {used:?}");

    // Connected peers are served, and files can be read.
    broker.send(Signal::HUP);
    until("it reloads", || {
        broker.log().contains("configuration reloaded")
    })
    .await;
    broker.rendezvous_of(&mut proxy, &mut client).await;

    drop((connections, proxy, client));
    // Until the broker has noticed that they are gone, all descriptors are in use.
    until("they are gone", || broker.open_files() <= files).await;
    broker.recovers("few descriptors", before).await;
}
