//! The maximum number of connections, all from a dozen networks, none of which can have
//! more than an eighth.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::ATTACK;
use crate::broker::Setup;
use crate::network::{connect, stranger_v6};
use crate::report::Row;

/// More strangers than there is room for in either test.
const PEERS: u16 = 1_200;

/// Time after which a stranger returns whose connection was closed.
const AGAIN: Duration = Duration::from_secs(2);

/// Idle connections up to the limit of connections.
pub(crate) async fn of_connections() -> Row {
    const LIMIT: usize = 1_000;
    let setup = Setup::new().with("listener.max_connections", LIMIT.to_string());
    fill(setup, LIMIT).await
}

/// The same if the system gives the broker fewer descriptors than its limit of
/// connections.
pub(crate) async fn of_descriptors() -> Row {
    const LIMIT: usize = 1_200;
    let limit = format!("--nofile={LIMIT}:{LIMIT}");
    fill(Setup::new().under(&["prlimit", &limit, "--"]), LIMIT).await
}

async fn fill(setup: Setup, limit: usize) -> Row {
    let attack = async |_: &_| {
        let open = Arc::new(AtomicUsize::new(0));
        let mut strangers = JoinSet::new();
        for number in 0..PEERS {
            let open = Arc::clone(&open);
            strangers.spawn(async move {
                // The strangers do not arrive at the same moment.
                sleep(AGAIN.mul_f64(f64::from(number) / f64::from(PEERS))).await;
                stay(from(number), open).await;
            });
        }
        // Long enough for the limit to be reached and for some strangers to return.
        sleep(ATTACK * 2).await;
        let held = open.load(Ordering::Relaxed);
        assert!(held > limit * 2 / 5, "{held} of {limit}");
        strangers.shutdown().await;
        format!("{held} connections held by {PEERS} that come back, of {limit}")
    };
    setup.start().await.withstands(attack).await
}

/// An address in one of twelve networks.
fn from(number: u16) -> IpAddr {
    match u8::try_from(number % 12).unwrap() {
        0 => stranger_v6(number),
        network => Ipv4Addr::new(5, network, 0, 66).into(),
    }
}

/// Sends a small request, and idles until the connection is closed; then returns.
async fn stay(from: IpAddr, open: Arc<AtomicUsize>) {
    loop {
        if let Ok(mut stream) = connect(from).await {
            let request = b"GET /robots.txt HTTP/1.1\r\nHost: a\r\n\r\n";
            let mut reply = [0; 1_024];
            stream.write_all(request).await.ok();
            let first = timeout(ATTACK * 2, stream.read(&mut reply)).await;
            if matches!(first, Ok(Ok(1..))) {
                open.fetch_add(1, Ordering::Relaxed);
                while stream.read(&mut reply).await.is_ok_and(|read| read > 0) {}
                open.fetch_sub(1, Ordering::Relaxed);
            }
        }
        sleep(AGAIN).await;
    }
}
