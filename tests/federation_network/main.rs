//! Brokers that lend each other proxies, each a process on a machine of its own: a
//! network namespace with a link to the clients and proxies, and another to its
//! peers. What happens to these links and processes is real; tests/federation tries
//! far more of it in simulated time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../federation_program/certificates.rs"]
mod certificates;
#[path = "../interop/http.rs"]
mod http;
#[path = "../support/libraries.rs"]
mod libraries;
#[path = "../interop/namespace.rs"]
mod namespace;
#[path = "../support/process.rs"]
mod process;
#[path = "../interop/programs.rs"]
#[expect(dead_code, reason = "the brokers here have peers")]
mod programs;
#[path = "../interop/ready.rs"]
mod ready;
#[path = "../interop/relay.rs"]
mod relay;
#[path = "../support/unpacked.rs"]
mod unpacked;
#[path = "../support/wait.rs"]
mod wait;

mod brokers;
mod debian;
mod faults;
mod load;
mod machine;
mod report;
mod restarts;
mod slow_link;

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};

use brokers::Site;

/// Runs the test `name` in namespaces of its own, and prints what it reports.
#[expect(clippy::print_stdout, reason = "times are measured, not judged")]
async fn inside(name: &str, test: impl AsyncFnOnce(&Site) -> Result<String>) {
    let outcome = if namespace::entered() {
        run(name, test).await
    } else {
        namespace::run_inside(name).await
    };
    match outcome {
        Err(error) => panic!("{error:#}"),
        Ok(()) => println!("{}", fs::read_to_string(report_of(name)).unwrap()),
    }
}

async fn run(name: &str, test: impl AsyncFnOnce(&Site) -> Result<String>) -> Result<()> {
    let site = Site::new().await?;
    match test(&site).await {
        Ok(report) => Ok(fs::write(report_of(name), report)?),
        Err(error) => bail!("{error:#}\n{}", programs::logs(site.folder())?),
    }
}

/// Takes a report out of the namespaces.
fn report_of(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name.replace("::", "-"))
}
