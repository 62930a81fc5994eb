//! The options of the load generator.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;

/// Puts a Snowflake broker under load and measures it.
#[derive(Clone, Debug, Parser)]
#[command(name = "load", args_override_self = true)]
#[expect(clippy::struct_excessive_bools, reason = "flags are")]
pub(crate) struct Options {
    /// Start this broker on its own port for each repetition and measure it. Arguments
    /// after `--` are passed to it.
    #[arg(long, value_name = "PATH", required_unless_present = "url")]
    pub(crate) broker: Option<PathBuf>,
    /// Arguments for the broker.
    #[arg(last = true, value_name = "ARGUMENT", requires = "broker")]
    pub(crate) broker_arguments: Vec<String>,
    /// Also start this floor (`examples/floor.rs`) for each repetition, put it under the
    /// same load, and print the ratio.
    #[arg(long, value_name = "PATH", requires = "broker")]
    pub(crate) floor: Option<PathBuf>,
    /// Also start this earlier build of the broker, with the same arguments, and print the
    /// ratio.
    #[arg(long, value_name = "PATH", requires = "broker")]
    pub(crate) against: Option<PathBuf>,
    /// Also start this other broker, and print the ratio. It has to accept --addr,
    /// --disable-tls, --cert, --key and the arguments for the broker.
    #[arg(long, value_name = "PATH", requires = "broker")]
    pub(crate) reference: Option<PathBuf>,
    /// URL of a running broker, such as `http://127.0.0.1:8080`. `https://` means TLS
    /// with any certificate.
    #[arg(long, conflicts_with = "broker")]
    pub(crate) url: Option<String>,
    /// Process id of the broker at --url, to measure its CPU and memory. With several, as of
    /// the nodes of a cluster, these are added.
    #[arg(long, requires = "url")]
    pub(crate) pid: Vec<i32>,
    /// URL of the broker where the proxies poll and answer, if it is not that of the clients:
    /// another node of a cluster, with the same scheme.
    #[arg(long, requires = "url")]
    pub(crate) proxies_url: Option<String>,

    /// Number of proxies.
    #[arg(long, default_value_t = 400)]
    pub(crate) proxies: usize,
    /// Maximum number of simultaneous clients; 0 only parks polls.
    #[arg(long, default_value_t = 100)]
    pub(crate) clients: usize,
    /// Number of clients a second, regardless of the broker's replies. Their latency
    /// counts from when they were due. Without it each client returns as soon as it has
    /// its answer.
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// Number of proxy polls a second, with at most --proxies at a time. Without it each
    /// proxy polls again as soon as it can, and clients start only when all proxies have
    /// polled.
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) poll_rate: Option<u32>,
    /// Share by which --rate and --poll-rate vary, as over a day: with 0.4 they start at
    /// 0.6 of their value, rise to 1.4 in the middle of the run, and end at 0.6.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub(crate) swing: f64,

    /// Start the broker with TLS; with --url its scheme decides.
    #[arg(long, conflicts_with = "url")]
    pub(crate) tls: bool,
    /// Resume TLS sessions.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Use HTTP/2 instead of HTTP/1.1.
    #[arg(long)]
    pub(crate) http2: bool,
    /// Number of proxies, or clients, that share an HTTP/2 connection.
    #[arg(long, default_value_t = 100, value_parser = positive)]
    pub(crate) streams: usize,
    /// Open a new connection for each request.
    #[arg(long, conflicts_with = "http2")]
    pub(crate) no_keep_alive: bool,
    /// Number of addresses to connect from, starting at 127.0.0.1. Each has about 28,000
    /// ports.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) sources: u32,

    /// Time that proxies take to answer: a time span or a range such as "300ms..3s".
    #[arg(long, default_value = "0s", value_name = "SPAN")]
    pub(crate) answer_delay: Spread,
    /// Share of polls whose proxy never answers, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub(crate) silent: f64,
    /// Size of the SDP of an offer or answer, in bytes.
    #[arg(long, default_value_t = 2_400)]
    pub(crate) sdp_bytes: usize,
    /// Types of the proxies, with weights.
    #[arg(
        long,
        default_value = "webext=62,iptproxy=18,standalone=4,bloco=2",
        value_name = "MIX"
    )]
    pub(crate) proxy_types: Mix,
    /// NATs of the proxies, such as "unrestricted=15,restricted=60,unknown=25".
    #[arg(long, default_value = "unrestricted", value_name = "MIX")]
    pub(crate) proxy_nat: Mix,
    /// NATs of the clients.
    #[arg(long, default_value = "restricted", value_name = "MIX")]
    pub(crate) client_nat: Mix,

    /// Length of the measurement.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,
    /// Time for which clients run before the measurement.
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    pub(crate) warm_up: Duration,
    /// Time to wait after all polls are sent before memory is measured.
    #[arg(long, default_value = "1500ms", value_parser = humantime::parse_duration)]
    pub(crate) settle: Duration,
    /// Time after which a request counts as failed.
    #[arg(long, default_value = "1m", value_parser = humantime::parse_duration)]
    pub(crate) patience: Duration,
    /// Include samples of this length in the JSON.
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    pub(crate) sample_every: Option<Duration>,
    /// Number of repetitions.
    #[arg(long, default_value_t = 1, value_parser = positive)]
    pub(crate) repeat: usize,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

fn share(text: &str) -> Result<f64> {
    let share = text.parse()?;
    if !(0.0..=1.0).contains(&share) {
        bail!("it is not between 0 and 1");
    }
    Ok(share)
}

fn positive(text: &str) -> Result<usize> {
    let number = text.parse()?;
    if number == 0 {
        bail!("it has to be at least 1");
    }
    Ok(number)
}

/// Time spans uniformly distributed between two bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    least: Duration,
    most: Duration,
}

impl Spread {
    pub(crate) fn draw(self) -> Duration {
        let width = self.most.saturating_sub(self.least);
        self.least + width.mul_f64(fastrand::f64())
    }
}

impl FromStr for Spread {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        let (least, most) = (
            humantime::parse_duration(least)?,
            humantime::parse_duration(most)?,
        );
        if least > most {
            bail!("the first is longer than the second");
        }
        Ok(Self { least, most })
    }
}

/// Words with weights.
#[derive(Clone, Debug)]
pub(crate) struct Mix(Vec<(String, u32)>);

impl Mix {
    pub(crate) fn draw(&self) -> &str {
        let all = self.0.iter().map(|(_, weight)| *weight).sum::<u32>();
        let mut drawn = fastrand::u32(..all);
        for (word, weight) in &self.0 {
            if drawn < *weight {
                return word;
            }
            drawn -= weight;
        }
        unreachable!("what is drawn is less than all weights together")
    }
}

impl FromStr for Mix {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<(String, u32)> = text
            .split(',')
            .map(|entry| {
                let (word, weight) = entry.split_once('=').unwrap_or((entry, "1"));
                let weight: u16 = weight.parse().context("a weight is a number to 65535")?;
                Ok((word.to_owned(), weight.into()))
            })
            .collect::<Result<_>>()?;
        if words.iter().all(|(_, weight)| *weight == 0) {
            bail!("all weights are 0");
        }
        Ok(Self(words))
    }
}
