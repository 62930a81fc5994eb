//! A slow file, such as one on a network that is down. The broker waits for it, but not
//! forever.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

/// Takes a lease on the file (fcntl(2)), as a file server may, and does not give it up:
/// the kernel makes others wait for it, for up to 45 s.
const LEASE: &str = "
import fcntl, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = open(sys.argv[1], 'r+')
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('leased', flush=True)
sys.stdin.read()
";

/// Makes every open of the file wait until the result is dropped.
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
