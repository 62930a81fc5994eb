//! gRPC for Python, which knows the service from reflection: Debian's version and the
//! newest one, which send different host names over a Unix socket.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use tokio::process::Command;
use tokio::time::timeout;

use crate::FOREVER;
use crate::broker::Broker;
use crate::support::unpacked;

/// The library folders of the unpacked packages, for any architecture.
fn libraries() -> OsString {
    let folders = fs::read_dir(unpacked::file("usr/lib")).unwrap();
    env::join_paths(folders.map(|folder| folder.unwrap().path())).unwrap()
}

/// Makes calls from Debian's Python with the modules in this folder.
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

/// It sends the escaped path of the socket as the host name. Every call once failed.
#[tokio::test]
async fn the_newest_python_calls_watches_and_gives_up() {
    calls_watches_and_gives_up(unpacked::file("grpcio")).await;
}
