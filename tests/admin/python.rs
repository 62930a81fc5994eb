//! Another foreign client: gRPC for Python, which knows of the service what reflection
//! tells it. Debian's, and the newest one: they differ in what they call the host that
//! they reach by a Unix socket.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use tokio::process::Command;
use tokio::time::timeout;

use crate::FOREVER;
use crate::broker::Broker;
use crate::support::unpacked;

/// The folders of the libraries that came along, whatever the architecture.
fn libraries() -> OsString {
    let folders = fs::read_dir(unpacked::file("usr/lib")).unwrap();
    env::join_paths(folders.map(|folder| folder.unwrap().path())).unwrap()
}

/// Has Debian's Python call a broker with the modules of this folder.
async fn calls_watches_and_gives_up(modules: PathBuf) {
    let broker = Broker::start("").await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/admin/caller.py");
    let mut command = Command::new("/usr/bin/python3");
    command
        .arg(script)
        .arg(format!("unix:{}", broker.socket().display()))
        .env("PYTHONPATH", modules)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LD_LIBRARY_PATH", libraries())
        .kill_on_drop(true);
    let output = timeout(FOREVER, command.output())
        .await
        .expect("Python hangs")
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn debians_python_calls_watches_and_gives_up() {
    calls_watches_and_gives_up(unpacked::file("usr/lib/python3/dist-packages")).await;
}

/// It calls the host by the path of the socket, escaped. Every call failed once.
#[tokio::test]
async fn the_newest_python_calls_watches_and_gives_up() {
    calls_watches_and_gives_up(unpacked::file("grpcio")).await;
}
