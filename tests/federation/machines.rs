//! Brokers that lend each other proxies, each a process on its own machine: a network
//! namespace with a link to the clients and proxies, and another to its peers. The faults
//! of links and processes are real; the tests in paused and simulated time cover far more
//! of them.

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

/// Runs the test `name` in its own namespaces, and prints its report.
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

/// The file that carries a report out of the namespaces.
fn report_of(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name.replace("::", "-"))
}
