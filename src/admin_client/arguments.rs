//! The command line of `snowflake-broker admin`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

/// A call of a broker, with the way to it.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct AdminArgs {
    /// Print JSON: one object, or one a line where there may be many
    #[arg(long, global = true)]
    pub json: bool,
    /// Which broker.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// The call.
    #[command(subcommand)]
    pub call: AdminCall,
}

/// Which broker, and who we are to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// The broker: unix:PATH or HOST:PORT [default: admin.listen of the configuration, else
    /// `unix:/run/snowflake-broker/admin.sock`]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub address: Option<String>,
    /// The authorities that the broker's certificate may be from, PEM [default: the system's]
    #[arg(long, global = true, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Our certificate chain, PEM
    #[arg(long, global = true, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, global = true, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// The name in the broker's certificate [default: the host of the address]
    #[arg(long, global = true, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// File with a bearer token
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Speak in the clear to another machine, which lets others read the token
    #[arg(long, global = true)]
    pub insecure: bool,
    /// The longest time that one call may take [default: 10s]
    #[arg(long, global = true, value_name = "SPAN", value_parser = span)]
    pub timeout: Option<Duration>,
}

/// A call of the broker.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum AdminCall {
    /// Tell what the broker is doing
    Status,
    /// Show what the broker is doing for as long as you watch; q ends it
    Watch(WatchArgs),
    /// List the polls that wait for a client, the longest waiting first
    Polls(PollsArgs),
    /// Count what the metrics log will say of the time since its last block
    Stats {
        /// Print the lines as they would be written now
        #[arg(long)]
        text: bool,
    },
    /// See to the bridges that clients may ask for
    #[command(subcommand)]
    Bridges(BridgesCall),
    /// Change when proxies are told to poll again; without options, tell
    Interval(IntervalArgs),
    /// Change which proxies may serve; without options, tell
    Relay(RelayArgs),
    /// Change how many requests one address may send; without options, tell
    Limits(LimitsArgs),
    /// Change what is logged
    Log(LogArgs),
    /// Have the broker read its configuration and files again
    Reload {
        /// Have them read and checked, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Let the broker run empty without ending it
    Drain {
        /// For how long clients are still given parked polls [default: `matching.drain_grace`]
        #[arg(long, value_name = "SPAN", value_parser = span)]
        grace: Option<Duration>,
    },
    /// End a drain
    Resume,
    /// List the configuration in force, each value with where it came from
    Config {
        /// Only keys that begin with this, such as matching
        #[arg(value_name = "PREFIX", default_value = "", hide_default_value = true)]
        prefix: String,
    },
    /// List the brokers that lend to this one or borrow from it
    Peers,
}

/// The pace of watching.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct WatchArgs {
    /// The time between two looks, 100ms to 1h
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "1s")]
    pub interval: Duration,
    /// End after so many looks
    #[arg(long, value_name = "NUMBER")]
    pub count: Option<NonZeroUsize>,
}

/// Which polls to list.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct PollsArgs {
    /// Conditions joined by AND, such as "pool = open AND waiting > 3s"; fields are type, nat,
    /// pool, country, clients, waiting
    #[arg(long, default_value = "", hide_default_value = true)]
    pub filter: String,
    /// The most to list
    #[arg(long, value_name = "NUMBER")]
    pub limit: Option<usize>,
}

/// A call about the bridges.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum BridgesCall {
    /// List them
    List {
        /// Print the lines of a file that `bridges set` reads
        #[arg(long, conflicts_with = "json")]
        as_file: bool,
    },
    /// Replace all of them at once
    Set {
        /// The bridges, one JSON object a line
        file: PathBuf,
        /// Also have the broker write them to `broker.bridge_list_path`, so that they outlast a
        /// reload
        #[arg(long)]
        write_back: bool,
        /// Have the broker check them, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Only if the list in force has this etag; `bridges list --json` tells it
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
    },
    /// Check a file; needs no broker
    Check {
        /// The bridges, one JSON object a line
        file: PathBuf,
    },
}

/// The intervals to change, each 1s to 24h.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct IntervalArgs {
    /// Of proxies that everybody reaches
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub open: Option<Duration>,
    /// Of proxies behind a moderate NAT
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub moderate: Option<Duration>,
    /// Of proxies behind a strict or unknown NAT
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub strict: Option<Duration>,
    /// Of proxies refused for their relay pattern
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub refused: Option<Duration>,
    /// Of proxies turned away because too many polls are parked
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub overloaded: Option<Duration>,
    /// Have the broker check them, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// The relay patterns to change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct RelayArgs {
    /// The relays that every proxy has to accept: a host name suffix, or after ^ one exact name
    #[arg(long, value_name = "PATTERN")]
    pub allowed: Option<String>,
    /// The pattern of a proxy that names none; empty means every relay
    #[arg(long, value_name = "PATTERN")]
    pub default: Option<String>,
    /// Have the broker check them, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// The limits to change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct LimitsArgs {
    /// Polls of proxies a minute, in the long run; 0 is no limit
    #[arg(long, value_name = "NUMBER")]
    pub proxy_polls_per_minute: Option<u32>,
    /// The most that may come at once
    #[arg(long, value_name = "NUMBER")]
    pub proxy_poll_burst: Option<u32>,
    /// Polls of clients a minute, in the long run; 0 is no limit
    #[arg(long, value_name = "NUMBER")]
    pub client_polls_per_minute: Option<u32>,
    /// The most that may come at once
    #[arg(long, value_name = "NUMBER")]
    pub client_poll_burst: Option<u32>,
    /// Answers of proxies a minute, in the long run; 0 is no limit
    #[arg(long, value_name = "NUMBER")]
    pub answers_per_minute: Option<u32>,
    /// The most that may come at once
    #[arg(long, value_name = "NUMBER")]
    pub answer_burst: Option<u32>,
    /// Factor of the limits for an address that passes on the requests of many
    #[arg(long, value_name = "NUMBER")]
    pub intermediary_factor: Option<u32>,
    /// Networks of AMP caches, or google, in place of all there were; may be repeated
    #[arg(long = "intermediary", value_name = "NETWORK")]
    pub intermediaries: Vec<String>,
    /// Know no AMP caches
    #[arg(long, conflicts_with = "intermediaries")]
    pub no_intermediaries: bool,
    /// Factor of the limits for a peer that says to forward for others
    #[arg(long, value_name = "NUMBER")]
    pub unconfirmed_factor: Option<u32>,
    /// Networks that are not limited, in place of all there were; may be repeated
    #[arg(long, value_name = "NETWORK")]
    pub exempt: Vec<String>,
    /// Limit all networks
    #[arg(long, conflicts_with = "exempt")]
    pub no_exempt: bool,
    /// Have the broker check them, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A filter of the log.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct LogArgs {
    /// off, error, warn, info, debug, trace, or a filter such as
    /// `info,snowflake_broker::http=debug`
    pub filter: String,
    /// For how long, 1s to 24h; after that the configuration's filter is back [default: until
    /// the next reload]
    #[arg(long = "for", value_name = "SPAN", value_parser = span)]
    pub ttl: Option<Duration>,
    /// Have the broker check it, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// As settings write it: with units, or a number of seconds.
fn span(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let span = seconds.or_else(|| humantime::parse_duration(text).ok());
    span.ok_or_else(|| "expected a span of time such as 1s or 250ms, or a number of seconds".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments::{Cli, Command};

    fn parse(line: &str) -> Result<(Cli, AdminArgs), String> {
        let words = std::iter::once("snowflake-broker").chain(line.split(' '));
        let cli = Cli::parse_from(words.map(Into::into)).map_err(|error| error.to_string())?;
        match cli.command.clone() {
            Command::Admin(admin) => Ok((cli, *admin)),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn options_of_all_calls_may_be_anywhere() {
        for line in [
            "admin --json --address unix:/a status",
            "admin status --json --address unix:/a",
            "admin --json status -address=unix:/a",
        ] {
            let (_, admin) = parse(line).unwrap();
            assert!(admin.json, "{line}");
            assert_eq!(admin.connection.address.as_deref(), Some("unix:/a"));
            assert_eq!(admin.call, AdminCall::Status);
        }
    }

    #[test]
    fn flags_of_a_broker_come_before_the_command_and_not_after_it() {
        let (cli, _) = parse("-addr :1 -config a.toml admin status").unwrap();
        assert_eq!(cli.flags.len(), 1);
        assert_eq!(cli.config, [PathBuf::from("a.toml")]);
        let refused = parse("admin status -addr :1").unwrap_err();
        assert!(refused.contains("--addr"), "{refused}");
        let help = parse("admin status --help").unwrap_err();
        assert!(!help.contains("--disable-tls"), "{help}");
        assert!(help.contains("--config") && help.contains("--token-file"));
    }

    #[test]
    fn spans_are_written_as_in_the_configuration() {
        for (text, millis) in [("1m 30s", 90_000), ("250ms", 250), ("2.5", 2_500)] {
            assert_eq!(span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "soon", "-1", "NaN", "1e99"] {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_repeated_network_is_one_more() {
        let (_, admin) = parse("admin limits --exempt 192.0.2.0/24 -exempt=10.0.0.0/8").unwrap();
        let AdminCall::Limits(limits) = admin.call else {
            panic!("{admin:?}")
        };
        assert_eq!(limits.exempt, ["192.0.2.0/24", "10.0.0.0/8"]);
        let (_, admin) =
            parse("admin limits --intermediary google -intermediary=10.0.0.0/8").unwrap();
        let AdminCall::Limits(limits) = admin.call else {
            panic!("{admin:?}")
        };
        assert_eq!(limits.intermediaries, ["google", "10.0.0.0/8"]);
        parse("admin limits --intermediary google --no-intermediaries").unwrap_err();
        parse("admin limits --exempt 192.0.2.0/24 --no-exempt").unwrap_err();
    }
}
