//! A file that takes its time, as one of a network that is down: the broker waits for
//! it, and not for ever.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

/// Has a lease on the file (fcntl(2)), as a file server may have, and does not give
/// it back: the kernel lets others wait for it, for 45 s.
const LEASE: &str = "
import fcntl, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = open(sys.argv[1], 'r+')
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('leased', flush=True)
sys.stdin.read()
";

/// Whoever opens the file from now on has to wait, until this is dropped.
pub(crate) async fn make_wait(file: &Path) -> Child {
    let mut holder = Command::new("/usr/bin/python3")
        .args(["-c", LEASE])
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("python3 is missing: run tests/run once");
    let mut leased = [0; 6];
    let stdout = holder.stdout.as_mut().unwrap();
    stdout.read_exact(&mut leased).await.unwrap();
    holder
}
