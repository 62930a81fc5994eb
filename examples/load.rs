//! A load generator: it runs proxies and clients against a broker and measures the cost
//! of serving them. Every client checks that its answer was made for its own offer.
//!
//! ```sh
//! cargo build --profile dist --features jemalloc,sqs --bin snowflake-broker --examples
//! target/dist/examples/load --broker target/dist/snowflake-broker --floor target/dist/examples/floor
//! ```
//!
//! This measures a broker at saturation, with 400 proxies and 100 clients that return as
//! soon as they can, and gives its CPU a request as a multiple of that of
//! `examples/floor.rs`, a minimal server on the same libraries. `--help` lists the
//! options. For a broker that is already running:
//!
//! ```sh
//! target/dist/examples/load --url http://127.0.0.1:8080 --pid "$(pidof snowflake-broker)" --rate 500 --answer-delay 300ms..3s --silent 0.2
//! ```
//!
//! Matches between two nodes of a cluster (`docs/cluster.md`), whose clients come to one of
//! them and whose proxies to the other:
//!
//! ```sh
//! target/dist/examples/load --url http://127.0.0.1:8080 --proxies-url http://127.0.0.1:8081 --pid "$(pgrep -f a.toml)" --pid "$(pgrep -f b.toml)" --rate 200
//! ```
//!
//! The generator uses CPU of the same machine, about as much as the broker: matches/s and
//! latency depend on that, CPU a match hardly does. With `--rate`, clients arrive when
//! they are due whether or not the broker keeps up, and their latency counts from then
//! (corrected for coordinated omission); timers are accurate to a millisecond. Without
//! it, latency is that of a client in a queue of `--clients`.
//!
//! The exit code is 1 if an answer was lost, crossed or damaged.
#![expect(
    clippy::disallowed_methods,
    reason = "it has one clock, for all it measures, and nothing pure in it"
)]

#[path = "load/comparison.rs"]
mod comparison;
#[path = "load/connections.rs"]
mod connections;
#[path = "load/figures.rs"]
mod figures;
#[path = "load/messages.rs"]
mod messages;
#[path = "load/options.rs"]
mod options;
#[path = "load/peers.rs"]
mod peers;
#[path = "load/progress.rs"]
mod progress;
#[path = "load/report.rs"]
mod report;
#[path = "load/run.rs"]
mod run;
#[path = "load/sampling.rs"]
mod sampling;
#[path = "load/schedule.rs"]
mod schedule;
#[path = "load/server.rs"]
mod server;
#[path = "load/table.rs"]
mod table;
#[path = "load/tally.rs"]
mod tally;
#[path = "load/tls.rs"]
mod tls;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use options::Options;
use report::{Comparison, Report};
use server::Server;

/// Open files besides connections.
const SPARE_FILES: u64 = 1_000;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    raise_file_limit(&options)?;
    let comparison = measure(&options).await?;
    let mut out = io::stdout().lock();
    if options.json {
        serde_json::to_writer_pretty(&mut out, &comparison)?;
        writeln!(out)?;
    } else {
        write!(out, "{comparison}")?;
    }
    Ok(if comparison.is_correct() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs the broker and those that it is compared with in turns, so that other load on the
/// machine affects all of them.
async fn measure(options: &Options) -> Result<Comparison> {
    let mut runs = Comparison::default();
    for _ in 0..options.repeat {
        runs.broker.push(measure_broker(options).await?);
        if let Some(program) = &options.floor {
            let options = Options {
                broker_arguments: Vec::new(),
                ..options.clone()
            };
            let server = Server::start(program, &options).await?;
            runs.floor.push(run::run("floor", &server, &options).await?);
        }
        for (name, program, runs) in [
            ("earlier build", &options.against, &mut runs.earlier),
            ("reference", &options.reference, &mut runs.reference),
        ] {
            if let Some(program) = program {
                let server = Server::start(program, options).await?;
                runs.push(run::run(name, &server, options).await?);
            }
        }
    }
    Ok(runs.with_ratios())
}

async fn measure_broker(options: &Options) -> Result<Report> {
    let server = match (&options.broker, &options.url) {
        (Some(program), _) => Server::start(program, options).await?,
        (None, Some(url)) => Server::running(url, options).await?,
        (None, None) => unreachable!("one of the two is required"),
    };
    run::run("broker", &server, options).await
}

/// Raises the limit of open files, one of which each connection needs. A server that is
/// started here inherits the limit.
fn raise_file_limit(options: &Options) -> Result<()> {
    let streams = if options.http2 { options.streams } else { 1 };
    let needed = options.proxies.div_ceil(streams) + options.clients.div_ceil(streams);
    let needed = u64::try_from(needed)? + SPARE_FILES;
    let limit = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if enough(limit.current) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(needed));
    let raised = Rlimit {
        current: Some(needed),
        maximum,
    };
    setrlimit(Resource::Nofile, raised)
        .with_context(|| format!("{needed} open files are needed, see ulimit -Hn"))
}
