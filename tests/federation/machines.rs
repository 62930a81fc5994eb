//! Brokers that lend each other proxies, each a process on a machine of its own: a
//! network namespace with a link to the clients and proxies, and another to its
//! peers. What happens to these links and processes is real; tests in paused
//! and simulated time cover far more of it.

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

use crate::support::{namespace, programs};

/// Runs the test `name` in namespaces of its own, and prints what it reports.
#[expect(clippy::print_stdout, reason = "times are measured, not judged")]
async fn inside(name: &str, test: impl AsyncFnOnce(&Site) -> Result<String>) {
    let outcome = if namespace::entered() {
        run(name, test).await
    } else {
        namespace::run_inside(&format!("machines::{name}")).await
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
