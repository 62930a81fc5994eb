//! HTTP/2 frames that cost their sender next to nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::broker::{Broker, Setup};
use crate::frames::{
    ACK, DATA, PING, PRIORITY, WINDOW_UPDATE, frame, hello, post, settings as settings_frame,
};
use crate::report::Row;
use crate::shapes;
use crate::stranger::{connect, over_and_over};

/// Number of simultaneous connections.
const AT_ONCE: usize = 8;

/// Requests that are cancelled at once, as in CVE-2023-44487.
pub(crate) async fn resets() -> Row {
    let attack = async |broker: &Broker| {
        let connections = over_and_over(AT_ONCE, open_and_take_back).await;
        let dropped = [("reason", "http2_abuse")];
        let dropped = broker.count("connections_dropped_total", &dropped).await;
        // The last connection of each attacker may not have got that far.
        let dropped = usize::try_from(dropped).unwrap();
        assert!(dropped >= connections, "{dropped} of {connections}");
        assert!(connections > AT_ONCE, "{connections}");
        format!("{connections} connections, each closed after 100 resets")
    };
    Setup::new().start().await.withstands(attack).await
}

async fn open_and_take_back() -> usize {
    shapes::open_and_take_back(&mut connect(b"").await, "/client").await;
    1
}

/// A header block that never ends, as in CVE-2024-27316.
pub(crate) async fn continuations() -> Row {
    let attack = async |_: &_| {
        let connections = over_and_over(AT_ONCE, never_end_a_head).await;
        assert!(connections > AT_ONCE, "{connections}");
        format!("{connections} heads, each connection closed")
    };
    Setup::new().start().await.withstands(attack).await
}

async fn never_end_a_head() -> usize {
    shapes::never_end_a_head(&mut connect(b"").await).await;
    1
}

/// Settings whose acknowledgements nobody reads.
pub(crate) async fn settings() -> Row {
    let setting = settings_frame(&[(4, 65_535), (3, 100)]);
    unread_floods(setting, "SETTINGS").await
}

/// Pings whose answers nobody reads.
pub(crate) async fn pings() -> Row {
    unread_floods(frame(PING, 0, 0, b"12345678"), "PING").await
}

/// Answers to pings that the broker did not send.
pub(crate) async fn pongs() -> Row {
    unread_floods(frame(PING, ACK, 0, b"12345678"), "PONG").await
}

/// Invalid requests, so that the broker has to reset each stream.
pub(crate) async fn errors() -> Row {
    let attack = async |_: &_| {
        let connections = over_and_over(AT_ONCE, err).await;
        assert!(connections > AT_ONCE, "{connections}");
        format!("{connections} connections, each closed after 1000 errors")
    };
    Setup::new().start().await.withstands(attack).await
}

async fn err() -> usize {
    shapes::err(&mut connect(b"").await).await;
    1
}

/// Frames without meaning that have to be read.
pub(crate) async fn idle_frames() -> Row {
    let unknown = frame(0xfa, 0, 0, b"");
    let priority = frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1]);
    let window = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
    unread_floods([unknown, priority, window].concat(), "idle").await
}

/// A body that comes byte by byte.
pub(crate) async fn tiny_data() -> Row {
    body_floods(frame(DATA, 0, 1, b" "), "tiny").await
}

/// A body of empty frames.
pub(crate) async fn empty_data() -> Row {
    body_floods(frame(DATA, 0, 1, b""), "empty").await
}

async fn body_floods(one: Vec<u8>, name: &str) -> Row {
    floods([hello(), post(1, "/client")].concat(), one, name).await
}

async fn unread_floods(one: Vec<u8>, name: &str) -> Row {
    floods(hello(), one, name).await
}

/// Sends the frame as often as possible on each connection.
async fn floods(begin: Vec<u8>, one: Vec<u8>, name: &str) -> Row {
    const BATCH: usize = 500;
    let (begin, batch) = (Arc::new(begin), Arc::new(one.repeat(BATCH)));
    let attack = async |_: &_| {
        let sent = Arc::new(AtomicUsize::new(0));
        let mut attackers = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            let (begin, batch) = (Arc::clone(&begin), Arc::clone(&batch));
            let sent = Arc::clone(&sent);
            attackers.spawn(timeout(crate::ATTACK, async move {
                loop {
                    let mut stream = connect(&begin).await;
                    while stream.write_all(&batch).await.is_ok() {
                        sent.fetch_add(BATCH, Ordering::Relaxed);
                    }
                }
            }));
        }
        attackers.join_all().await;
        let sent = sent.load(Ordering::Relaxed);
        assert!(sent > BATCH * AT_ONCE, "{sent}");
        format!("{sent} {name} frames")
    };
    Setup::new().start().await.withstands(attack).await
}
