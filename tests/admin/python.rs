//! Another foreign client: Debian's gRPC for Python, which knows of the service
//! what reflection tells it.

use std::env;
use std::ffi::OsString;
use std::fs;

use tokio::process::Command;
use tokio::time::timeout;

use crate::broker::Broker;
use crate::{FOREVER, foreign};

/// The folders of the libraries that came along, whatever the architecture.
fn libraries() -> OsString {
    let folders = fs::read_dir(foreign("usr/lib")).unwrap();
    env::join_paths(folders.map(|folder| folder.unwrap().path())).unwrap()
}

#[tokio::test]
async fn python_calls_watches_and_gives_up() {
    let broker = Broker::start("").await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/admin/caller.py");
    let mut command = Command::new("/usr/bin/python3");
    command
        .arg(script)
        .arg(format!("unix:{}", broker.socket().display()))
        .env("PYTHONPATH", foreign("usr/lib/python3/dist-packages"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LD_LIBRARY_PATH", libraries())
        .kill_on_drop(true);
    let output = timeout(FOREVER, command.output()).await;
    let output = output.expect("Python hangs").unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
