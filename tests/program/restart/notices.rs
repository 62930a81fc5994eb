//! Notifications to a service manager: `sd_notify(3)`.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::{TcpStream, UnixDatagram};
use tokio::time::timeout;

use crate::restart::FOREVER;
use crate::restart::broker::{Program, Socket};

/// A service manager.
struct Manager {
    folder: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        Self { folder, socket }
    }

    /// Starts a broker with the manager's socket and further variables.
    fn start(&self, settings: &[(&str, &str)], variables: &[(&str, &str)]) -> Program {
        let socket = Socket::open();
        Program::start_with(&[&socket], "http", settings, |command| {
            command
                .env("NOTIFY_SOCKET", self.folder.path().join("notify"))
                .envs(variables.iter().copied());
        })
    }

    /// The assignments in the next notification.
    async fn next(&self) -> Vec<String> {
        let mut notice = [0; 4096];
        let received = timeout(FOREVER, self.socket.recv(&mut notice)).await;
        let length = received.expect("it tells nothing").unwrap();
        let notice = std::str::from_utf8(&notice[..length]).unwrap();
        notice.lines().map(ToOwned::to_owned).collect()
    }
}

#[tokio::test]
async fn it_tells_of_readiness_and_of_the_end() {
    let manager = Manager::new();
    let broker = manager.start(&[("matching.drain_grace", "0")], &[]);
    assert_eq!(manager.next().await, ["READY=1", "STATUS=serving"]);
    broker.until_logged("serving clients and proxies").await;
    broker.send(Signal::TERM);
    let last = manager.next().await;
    assert_eq!(last[0], "STOPPING=1");
    assert!(last[1].starts_with("STATUS=stopping"), "{last:?}");
    assert!(broker.end().await.0.success());
}

#[tokio::test]
async fn it_is_ready_once_it_listens() {
    let manager = Manager::new();
    let socket = Socket::open();
    let addr = socket.addr();
    drop(socket);
    let _broker = Program::without_sockets(addr, |command| {
        command.env("NOTIFY_SOCKET", manager.folder.path().join("notify"));
    });
    assert_eq!(manager.next().await[0], "READY=1");
    TcpStream::connect(addr).await.unwrap();
}

#[tokio::test]
async fn it_tells_of_reloads() {
    let manager = Manager::new();
    let bridges = manager.folder.path().join("bridges");
    let bridge = json!({
        "displayName": "default", "webSocketAddress": "wss://bridge.example/",
        "fingerprint": "2B280B23E1107BB62ABFC40DDCC8824814F80A72",
    });
    fs::write(&bridges, bridge.to_string()).unwrap();
    let path = bridges.to_str().unwrap();
    let broker = manager.start(&[("broker.bridge_list_path", path)], &[]);
    manager.next().await;

    broker.send(Signal::HUP);
    let begins = manager.next().await;
    assert_eq!(begins[0], "RELOADING=1");
    let since_boot = begins[1].strip_prefix("MONOTONIC_USEC=").unwrap();
    assert!(since_boot.parse::<u64>().unwrap() > 0);
    assert_eq!(manager.next().await, ["READY=1", "STATUS=serving"]);

    fs::write(&bridges, "rubbish").unwrap();
    broker.send(Signal::HUP);
    assert_eq!(manager.next().await[0], "RELOADING=1");
    let ends = manager.next().await;
    assert_eq!(ends[0], "READY=1");
    assert!(ends[1].contains("reload was refused"), "{ends:?}");
}

#[tokio::test]
async fn it_shows_that_it_is_alive_if_it_is_asked_to() {
    let manager = Manager::new();
    let broker = manager.start(&[], &[("WATCHDOG_USEC", "100000")]);
    let mut alive = 0;
    let mut others = Vec::new();
    while alive < 10 {
        match &*manager.next().await {
            [only] if only == "WATCHDOG=1" => alive += 1,
            other => others.push(other[0].clone()),
        }
    }
    assert_eq!(others, ["READY=1"]);

    // A suspended broker sends none.
    broker.send(Signal::STOP);
    while timeout(Duration::from_secs(1), manager.next())
        .await
        .is_ok()
    {}
    broker.send(Signal::CONT);
    assert_eq!(manager.next().await, ["WATCHDOG=1"]);
}

#[tokio::test]
async fn it_serves_on_where_nobody_hears_it() {
    let socket = Socket::open();
    let broker = Program::start_with(&[&socket], "http", &[], |command| {
        command.env("NOTIFY_SOCKET", "/nowhere/notify");
    });
    broker
        .until_logged("cannot notify the service manager")
        .await;
    TcpStream::connect(socket.addr()).await.unwrap();
    broker.send(Signal::TERM);
    broker.send(Signal::TERM);
    assert!(broker.end().await.0.success());
}
