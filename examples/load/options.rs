//! What can be asked of the load generator.

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
    /// Start this broker on a port of its own and measure it, anew for each
    /// repetition. What comes after `--` are arguments for it.
    #[arg(long, value_name = "PATH", required_unless_present = "url")]
    pub(crate) broker: Option<PathBuf>,
    /// Arguments for the broker that is started.
    #[arg(last = true, value_name = "ARGUMENT", requires = "broker")]
    pub(crate) broker_arguments: Vec<String>,
    /// Start this floor (`examples/floor.rs`) beside each repetition, put it under
    /// the same load and give the ratio.
    #[arg(long, value_name = "PATH", requires = "broker")]
    pub(crate) floor: Option<PathBuf>,
    /// Start this other broker, too, and give the ratio. It has to understand
    /// --addr, --disable-tls, --cert, --key and the arguments for the broker.
    #[arg(long, value_name = "PATH", requires = "broker")]
    pub(crate) reference: Option<PathBuf>,
    /// A broker that runs already, such as `http://127.0.0.1:8080`. `https://` means
    /// TLS, whoever the certificate is for.
    #[arg(long, conflicts_with = "broker")]
    pub(crate) url: Option<String>,
    /// The process behind --url, to measure its CPU and memory.
    #[arg(long, requires = "url")]
    pub(crate) pid: Option<i32>,

    /// How many proxies poll.
    #[arg(long, default_value_t = 400)]
    pub(crate) proxies: usize,
    /// How many clients come at the same time, at most. 0 only parks polls.
    #[arg(long, default_value_t = 100)]
    pub(crate) clients: usize,
    /// How many clients come a second, whatever the broker makes of them; their
    /// latency counts from when they were to come. Without it each client comes
    /// again as soon as it has its answer.
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,
    /// How many polls of proxies come a second, --proxies at the same time at most.
    /// Without it each proxy polls again as soon as it can, and clients come only
    /// when all have polled.
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) poll_rate: Option<u32>,
    /// By which share of them --rate and --poll-rate swing around what they are, as
    /// over a day: with 0.4 they begin at 0.6 of it, rise to 1.4 of it in the middle
    /// of the run, and end at 0.6 of it.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub(crate) swing: f64,

    /// Start the broker with TLS; of --url its scheme tells.
    #[arg(long, conflicts_with = "url")]
    pub(crate) tls: bool,
    /// Resume TLS sessions.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Speak HTTP/2 instead of HTTP/1.1.
    #[arg(long)]
    pub(crate) http2: bool,
    /// How many proxies, or clients, share one HTTP/2 connection.
    #[arg(long, default_value_t = 100, value_parser = positive)]
    pub(crate) streams: usize,
    /// A new connection for each request.
    #[arg(long, conflicts_with = "http2")]
    pub(crate) no_keep_alive: bool,
    /// From how many addresses, 127.0.0.1 and those after it, to connect. One has
    /// some 28,000 ports.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) sources: u32,

    /// How long proxies take to answer: a span, or one to another, "300ms..3s".
    #[arg(long, default_value = "0s", value_name = "SPAN")]
    pub(crate) answer_delay: Spread,
    /// Which share of the polls is of proxies that never answer, 0 to 1.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = share)]
    pub(crate) silent: f64,
    /// The size of the SDP of an offer or answer, in bytes.
    #[arg(long, default_value_t = 2_400)]
    pub(crate) sdp_bytes: usize,
    /// What the proxies are: words with weights.
    #[arg(
        long,
        default_value = "webext=62,iptproxy=18,standalone=4,bloco=2",
        value_name = "MIX"
    )]
    pub(crate) proxy_types: Mix,
    /// The NAT of the proxies: "unrestricted=15,restricted=60,unknown=25".
    #[arg(long, default_value = "unrestricted", value_name = "MIX")]
    pub(crate) proxy_nat: Mix,
    /// The NAT of the clients.
    #[arg(long, default_value = "restricted", value_name = "MIX")]
    pub(crate) client_nat: Mix,

    /// How long to measure.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,
    /// How long clients come before it is measured.
    #[arg(long, default_value = "2s", value_parser = humantime::parse_duration)]
    pub(crate) warm_up: Duration,
    /// How long to wait, once all polls are sent, until memory is looked at.
    #[arg(long, default_value = "1500ms", value_parser = humantime::parse_duration)]
    pub(crate) settle: Duration,
    /// How long the broker may take over a request until it counts as failed.
    #[arg(long, default_value = "1m", value_parser = humantime::parse_duration)]
    pub(crate) patience: Duration,
    /// Put a sample of so much of the run in the JSON, one after the other.
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    pub(crate) sample_every: Option<Duration>,
    /// How often to measure.
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

/// Spans of time between two bounds, all as likely.
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

/// Words, some more frequent than others.
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
