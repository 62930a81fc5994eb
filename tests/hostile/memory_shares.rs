//! One address that takes up the memory for requests.

use std::io::ErrorKind;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::ATTACK;
use crate::broker::Setup;
use crate::report::Row;
use crate::stranger::connect;

/// The memory for all requests, and the fraction that one address may use.
const ROOM: usize = 16_000_000;
const SHARE: usize = 16;

/// Bodies that lack their last bytes.
pub(crate) async fn bodies() -> Row {
    const SENT: usize = 99_000;
    const PEERS: usize = 250;
    let setup = Setup::new().with("http.max_bytes_in_flight", ROOM.to_string());
    let attack = async |_: &_| {
        let begin = "POST /client HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
        let held = hold(PEERS, [begin, &"a".repeat(SENT)].concat()).await;
        // One more body may be on its way in.
        let most = ROOM / SHARE / SENT + 1;
        assert!(held <= most, "{held} bodies held, at most {most} expected");
        format!("{held} of {PEERS} bodies held, {} kB", held * SENT / 1_000)
    };
    setup.start().await.withstands(attack).await
}

/// Heads that lack their last line.
pub(crate) async fn heads() -> Row {
    const SENT: usize = 62_000;
    const PEERS: usize = 4_900;
    let attack = async |_: &_| {
        let begin = ["POST /client HTTP/1.1\r\nx: ", &"a".repeat(SENT)].concat();
        let held = hold(PEERS, begin).await;
        format!("{held} of {PEERS} heads held, {} kB", held * SENT / 1_000)
    };
    Setup::new().start().await.withstands(attack).await
}

/// Returns the number of senders still connected while the attack continues.
async fn hold(peers: usize, bytes: String) -> usize {
    let mut sending = JoinSet::new();
    for _ in 0..peers {
        let bytes = bytes.clone();
        sending.spawn(async move {
            let mut stream = connect(b"").await;
            stream.write_all(bytes.as_bytes()).await.ok();
            stream
        });
    }
    let held = sending.join_all().await;
    sleep(ATTACK).await;
    held.iter().filter(|stream| is_heard(stream)).count()
}

/// Returns true if the connection is open and nothing was sent on it.
fn is_heard(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0]);
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}
