//! No file descriptors left.

use std::time::Duration;
use tokio::time::sleep;

use crate::broker::Setup;
use crate::stranger::connect;
use crate::until;

const LIMIT: usize = 64;
const FAILS: &str = "cannot accept connections";

#[tokio::test]
async fn it_accepts_again_once_others_have_closed() {
    let limit = format!("--nofile={LIMIT}:{LIMIT}");
    let broker = Setup::new().under(&["prlimit", &limit, "--"]).start().await;
    let before = broker.at_rest().await;

    let mut connections = Vec::new();
    for _ in 0..3 * LIMIT {
        connections.push(connect(broker.addr, b"").await);
    }
    until("it says so", || broker.log().contains(FAILS)).await;
    assert!(broker.log().contains("Too many open files"));
    let seconds = Duration::from_secs(2);
    let used = broker.processor_time();
    sleep(seconds).await;
    let used = broker.processor_time().saturating_sub(used);
    assert!(used < seconds / 2, "it was busy for {used:?}");

    drop(connections);
    broker.recovers("no descriptors left", before).await;
    assert_eq!(broker.log().matches(FAILS).count(), 1, "{}", broker.log());
}
