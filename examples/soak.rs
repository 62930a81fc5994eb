//! Soaks a broker in load and faults for minutes to hours, and judges it: its memory must not
//! grow, its tables must be empty at the end, its counts must be those of the load, and its
//! log must have no line that is not expected.
//!
//! ```sh
//! cargo build --profile dist --features jemalloc,probe,sqs --bin snowflake-broker --example soak
//! target/dist/examples/soak --minutes 30 --plot soak.svg
//! ```
//!
//! The broker that is judged, A, is a node of a cluster over a real NATS server, and a peer of
//! another broker. While clients and proxies come over HTTP/1.1 and HTTP/2 and TLS, leave at
//! every stage, are mute, late or malformed, and a few hostile connections are open,
//!
//! - A gets SIGHUP each second, each time with a configuration or bridges that are a little
//!   different, and often with another certificate,
//! - the other node is killed or stopped, and started again,
//! - so is the peer,
//! - the NATS server hangs or restarts,
//! - private pools are created and removed by the administration.
//!
//! It runs in namespaces of its own for network and processes (`unshare`), with thousands of
//! addresses, and uses NATS from where `tests/run` has unpacked it. The exit code is 1 if a
//! verdict is not `ok`. docs/reliability.md has the results.
#![expect(
    clippy::disallowed_methods,
    reason = "it has one clock, for all it does, and nothing pure in it"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a part that cannot go on ends, and fails the run"
)]
#![expect(clippy::print_stdout, reason = "it reports to a person")]

#[path = "soak/admin.rs"]
mod admin;
#[path = "soak/books.rs"]
mod books;
#[path = "soak/caller.rs"]
mod caller;
#[path = "soak/clients.rs"]
mod clients;
#[path = "soak/configs.rs"]
mod configs;
#[path = "plots/curves.rs"]
#[expect(dead_code, reason = "one kind of scales is enough here")]
mod curves;
#[path = "../tests/hostile/documents.rs"]
mod documents;
#[path = "soak/figures.rs"]
mod figures;
#[path = "soak/flaps.rs"]
mod flaps;
#[path = "../tests/hostile/frames.rs"]
#[expect(dead_code, reason = "a few shapes need a few kinds of frames")]
mod frames;
#[path = "soak/hostile.rs"]
mod hostile;
#[path = "soak/load.rs"]
mod load;
#[path = "soak/log_lines.rs"]
mod log_lines;
#[path = "load/messages.rs"]
#[expect(dead_code, reason = "responses are read as JSON here")]
mod messages;
#[path = "../tests/hostile/network.rs"]
#[expect(dead_code, reason = "each broker has a port of its own here")]
mod network;
#[path = "soak/node.rs"]
mod node;
#[path = "plots/place.rs"]
mod place;
#[path = "soak/plots.rs"]
mod plots;
#[path = "soak/proxies.rs"]
mod proxies;
#[path = "plots/publication.rs"]
mod publication;
#[path = "soak/regression.rs"]
mod regression;
#[path = "../tests/hostile/requests_in_requests.rs"]
mod requests_in_requests;
#[path = "soak/run.rs"]
mod run;
#[path = "soak/samples.rs"]
mod samples;
#[path = "../tests/hostile/shapes.rs"]
mod shapes;
#[path = "soak/site.rs"]
mod site;
#[path = "soak/slope.rs"]
mod slope;
#[path = "soak/support.rs"]
#[expect(dead_code, reason = "no program needs all of it")]
mod support;
#[path = "scenarios/table.rs"]
mod table;
#[path = "soak/tally.rs"]
mod tally;
#[path = "load/tls.rs"]
mod tls;
#[path = "soak/verdict.rs"]
mod verdict;

use std::env;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use support::namespace;

/// Soaks a broker in load and faults, and judges it.
#[derive(Parser)]
struct Options {
    /// Page whose table is filled with the figures.
    page: Option<PathBuf>,
    /// The broker's program; by default the one built beside this program.
    #[arg(long, value_name = "PATH")]
    broker: Option<PathBuf>,
    /// Length of the load, in minutes.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Time at the beginning that does not count for the slope, in minutes. Default: a third.
    #[arg(long, value_name = "MINUTES")]
    warm_up: Option<f64>,
    /// Time from the end of the load until tables are looked at. Those of people are empty only
    /// 2 min after the last of them has come, and are not judged after a shorter time.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "150s")]
    settle: Duration,
    /// Mean time from one fault of a neighbor to its next.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "30s")]
    faults: Duration,
    /// Number of clients a second between the waves, in which four times as many come.
    #[arg(long, default_value_t = 25.0)]
    clients: f64,
    /// Number of proxies.
    #[arg(long, default_value_t = 120)]
    proxies: u16,
    /// File for the plot, SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Folder to which the broker's log and last page of metrics are copied.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

impl Options {
    fn program(&self) -> Result<PathBuf> {
        let this = env::current_exe()?;
        let built = this.parent().and_then(|examples| examples.parent());
        let beside = built.context("this program is in no target folder")?;
        let beside = beside.join("snowflake-broker");
        let program = self.broker.clone().unwrap_or(beside);
        let name = program.display();
        ensure!(program.exists(), "{name} is not there: build it first");
        Ok(program)
    }

    fn length(&self) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0)
    }

    fn warm_up(&self) -> Duration {
        let minutes = self.warm_up.unwrap_or(self.minutes / 3.0);
        Duration::from_secs_f64(minutes * 60.0)
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if !namespace::entered() {
        let mut inside = namespace::this_inside()?;
        // Whoever kills this program kills all that is inside.
        let error = inside.as_std_mut().args(env::args_os().skip(1)).exec();
        return Err(error).context("cannot run unshare, see tests/run");
    }
    network::make().await?;
    let verdict = run::run(&options).await?;
    print!("{verdict}");
    Ok(if verdict.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
