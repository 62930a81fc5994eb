//! Cost of borrowing a proxy: two brokers on this machine are peers, the proxies poll one
//! of them, and clients poll one or the other.
//!
//! ```sh
//! cargo build --profile dist --features jemalloc,sqs --bin snowflake-broker --example borrowing
//! target/dist/examples/borrowing --broker target/dist/snowflake-broker
//! ```
//!
//! Rounds of own and borrowed matches alternate, so that other load on the machine
//! affects both. CPU is that of both brokers together, because both take part in a
//! borrowed match. Latency counts from when a client was due; proxies answer at once. At
//! the end one broker gets many idle peers, and its CPU and memory are compared with
//! those of a broker without peers. `--help` lists the options.
//!
//! The exit code is 1 if a client got no answer or another client's.
#![expect(
    clippy::disallowed_methods,
    reason = "it has one clock, for all it measures, and nothing pure in it"
)]

#[path = "load/messages.rs"]
#[expect(dead_code, reason = "why a client has no answer is not told apart")]
mod messages;
#[path = "borrowing/nodes.rs"]
mod nodes;
#[path = "borrowing/traffic.rs"]
mod traffic;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use tokio::time::sleep;

use nodes::{Site, Usage, total};
use traffic::{Round, Traffic};

/// Time for which brokers may settle.
const SETTLING: Duration = Duration::from_secs(5);

/// Compares the cost of borrowed and own matches, and measures the cost of idle peers.
#[derive(Parser)]
struct Options {
    /// The broker's program.
    #[arg(long)]
    broker: PathBuf,
    /// Number of proxies.
    #[arg(long, default_value_t = 400)]
    proxies: usize,
    /// Number of clients a second.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Length of a round.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    round: Duration,
    /// Number of rounds of each kind.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Number of idle peers that one broker has at the end.
    #[arg(long, default_value_t = 50)]
    peers: usize,
    /// Time for which the idle peers are measured.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    idle: Duration,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let site = Site::new(options.broker.clone())?;
    let failed = compare_matches(&options, &site).await?;
    compare_idle(&options, &site).await?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Measures own and borrowed matches. Returns the number of clients that failed.
async fn compare_matches(options: &Options, site: &Site) -> Result<u64> {
    let (mut borrower, mut lender) = (site.node()?, site.node()?);
    borrower.add_peer(&lender);
    lender.add_peer(&borrower);
    borrower.start().await?;
    lender.start().await?;
    let nodes = [&borrower, &lender];

    let traffic = Traffic::start(lender.http(), options.proxies);
    sleep(SETTLING).await;
    let (mut own, mut loans) = (Round::new()?, Round::new()?);
    // The first round of each kind is a warm-up.
    for number in 0..=options.rounds {
        for (asks, sum) in [(&lender, &mut own), (&borrower, &mut loans)] {
            let before = total(&nodes)?;
            let mut round = traffic
                .round(asks.http(), options.rate, options.round)
                .await?;
            round.cpu = total(&nodes)?.cpu.saturating_sub(before.cpu);
            if number > 0 {
                sum.add(&round)?;
            }
        }
    }
    report_matches(&own, &loans)?;
    Ok(own.failed + loans.failed)
}

fn report_matches(own: &Round, borrowed: &Round) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "match     answered  failed  p50 ms  p95 ms  CPU us a match"
    )?;
    for (name, round) in [("own", own), ("borrowed", borrowed)] {
        writeln!(
            out,
            "{name:<10}{:<10}{:<8}{:<8.2}{:<8.2}{:.0}",
            round.answered(),
            round.failed,
            round.latency(0.5),
            round.latency(0.95),
            round.cpu_a_match(),
        )?;
    }
    let added = borrowed.latency(0.5) - own.latency(0.5);
    let ratio = borrowed.cpu_a_match() / own.cpu_a_match();
    writeln!(
        out,
        "borrowing adds {added:.2} ms to p50 and takes {ratio:.2} times the CPU\n"
    )?;
    Ok(())
}

/// Compares a broker without peers with one that has all others as peers.
async fn compare_idle(options: &Options, site: &Site) -> Result<()> {
    let mut alone = site.node()?;
    alone.start().await?;
    let mut center = site.node()?;
    let mut others = Vec::new();
    for _ in 0..options.peers {
        let mut other = site.node()?;
        other.add_peer(&center);
        center.add_peer(&other);
        others.push(other);
    }
    center.start().await?;
    for other in &mut others {
        other.start().await?;
    }
    sleep(SETTLING * 2).await;
    let connected = center.connected_peers()?;
    let before = [alone.usage()?, center.usage()?];
    sleep(options.idle).await;
    let after = [alone.usage()?, center.usage()?];

    let mut out = io::stdout().lock();
    writeln!(
        out,
        "idle broker         CPU, share of one core  memory MiB"
    )?;
    let names = ["no peers".to_owned(), format!("{connected} peers")];
    for ((name, before), after) in names.iter().zip(before).zip(after) {
        let share = after
            .cpu
            .saturating_sub(before.cpu)
            .div_duration_f64(options.idle);
        writeln!(
            out,
            "{name:<20}{:<24}{:.1}",
            format!("{:.2} %", share * 100.0),
            mebibytes(after)
        )?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "no process has 2^52 bytes")]
fn mebibytes(usage: Usage) -> f64 {
    usage.memory as f64 / f64::from(1 << 20)
}
