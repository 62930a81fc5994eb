//! A broker that dies in the middle of its work, behind a socket that outlives it.

use std::os::unix::process::ExitStatusExt as _;

use rustix::process::Signal;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::restart::FOREVER;
use crate::restart::broker::{Program, Socket};
use crate::support::messages::client_poll;
use crate::support::peer::Peer;

/// Those who come while no broker runs.
const CALLERS: usize = 300;

/// A client, on a connection of its own, which gets a reply.
async fn ask(socket: std::net::SocketAddr) {
    let mut peer = Peer::http1(socket).await;
    let reply = peer.post("/client", client_poll("x", "open"));
    let (_, reply) = timeout(FOREVER, reply).await.expect("no reply");
    let reply: Value = serde_json::from_str(&reply).unwrap();
    assert!(reply["error"].is_string(), "{reply}");
}

/// As systemd does it: the next broker starts with the same socket.
#[tokio::test]
async fn who_comes_while_a_broker_is_dead_is_served_by_the_next() {
    let socket = Socket::open();
    let mut broker = Program::start(&socket, "http", &[]);
    for signal in [Signal::KILL, Signal::ABORT, Signal::KILL] {
        ask(socket.addr()).await;
        broker.send(signal);
        let (status, log) = broker.end().await;
        assert_eq!(status.signal(), Some(signal.as_raw()), "{log}");
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(ask(socket.addr()));
        }
        broker = Program::start(&socket, "http", &[]);
        // Each panics if it is refused or broken off.
        callers.join_all().await;
    }
}
