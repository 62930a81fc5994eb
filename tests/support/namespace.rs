//! A separate network for a test, from which no packet leaves the machine.

use std::env;
use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use procfs::process::Process;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::wait::LONG_ENOUGH;

/// Set for the copy of the test that runs in the namespace.
const MARK: &str = "SNOWFLAKE_INTEROP_NAMESPACE";

/// A STUN server needs two addresses to determine the kind of a client's NAT.
pub(crate) const ADDRESSES: [&str; 2] = ["10.99.0.1", "10.99.0.2"];

/// Returns true if this process is the copy inside the namespace.
pub(crate) fn entered() -> bool {
    env::var_os(MARK).is_some()
}

/// A command that runs this program again, in new namespaces.
///
/// The network namespace is the purpose. The process namespace cleans up: when its first
/// process ends for any reason, the kernel kills all others.
pub(crate) fn this_inside() -> Result<Command> {
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child"])
        // An ordinary user may do this as the root of a user namespace.
        .args(["--map-root-user"])
        .arg("--")
        .arg(env::current_exe()?)
        .env(MARK, "1")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    Ok(unshare)
}

/// Runs the test `name` of this program again, in new namespaces.
pub(crate) async fn run_inside(name: &str) -> Result<()> {
    // Inside, each step has its own time limit; together they take less than this.
    run_inside_for(name, LONG_ENOUGH * 3).await.map(drop)
}

/// The same, with a time limit. Returns the test's output.
pub(crate) async fn run_inside_for(name: &str, limit: Duration) -> Result<String> {
    let mut unshare = this_inside()?;
    unshare
        .args(["--exact", name, "--nocapture"])
        // Outside, the same error is shown again.
        .env("RUST_BACKTRACE", "0");

    let output = timeout(limit, unshare.output())
        .await
        .context("the test hangs in its namespace")?
        .context("cannot run unshare, see tests/run")?;
    let report = format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(output.status.success(), "{}\n{report}", output.status);
    // A test runner succeeds even if it finds no test with this name.
    ensure!(
        report.contains("test result: ok. 1 passed"),
        "no test ran\n{report}"
    );
    Ok(report)
}

/// Adds a loopback to the empty namespace, and a link that looks like a connection to the
/// outside.
///
/// WebRTC does not use loopback addresses. One end of the link has the addresses; nothing
/// is at the other end.
pub(crate) async fn connect() -> Result<()> {
    ip("link set lo up").await?;
    ip("link add near type veth peer name far").await?;
    for address in ADDRESSES {
        ip(&format!("address add {address}/24 dev near")).await?;
    }
    ip("link set near up").await?;
    ip("link set far up").await?;
    ip("route add default dev near").await
}

/// Finds a process of this namespace in the machine's /proc.
pub(crate) fn seen_from_outside(pid: u32) -> Process {
    let own = Process::myself().unwrap().namespaces().unwrap().0;
    let pid = i32::try_from(pid).unwrap();
    let is_it = |process: &Process| {
        let numbers = process.status().ok().and_then(|status| status.nspid);
        let namespaces = process.namespaces().map(|all| all.0);
        numbers.is_some_and(|numbers| numbers.last() == Some(&pid))
            && namespaces.is_ok_and(|all| all[OsStr::new("pid")] == own[OsStr::new("pid")])
    };
    let mut all = procfs::process::all_processes().unwrap().flatten();
    all.find(is_it).unwrap()
}

/// A command that runs a program in a named namespace; the program is its first argument.
pub(crate) fn inside(name: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", name]);
    command
}

/// Runs iproute2.
pub(crate) async fn ip(arguments: &str) -> Result<()> {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .await
        .context("cannot run ip, see tests/run")?;
    ensure!(status.success(), "ip {arguments}: {status}");
    Ok(())
}
