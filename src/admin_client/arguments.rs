//! The command line of `snowflake-broker admin`.

mod policy;
mod pools;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

pub use policy::{ClientDescription, ExplainArgs, PolicyArgs};
pub use pools::{PoolArgs, PoolsCall};

/// A call of a broker, with the way to it.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct AdminArgs {
    /// Print JSON: one object, or one per line where there may be many
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
    /// Address of the broker, unix:PATH or HOST:PORT [default: admin.listen of the
    /// configuration, or `unix:/run/snowflake-broker/admin.sock`]
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub address: Option<String>,
    /// Authorities that may have issued the broker's certificate, PEM [default: the system's]
    #[arg(long, global = true, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Certificate chain of the client, PEM
    #[arg(long, global = true, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the client, PEM
    #[arg(long, global = true, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Name in the broker's certificate [default: the host of the address]
    #[arg(long, global = true, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// File with the bearer token
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Connect to another machine without TLS, which lets others read the token
    #[arg(long, global = true)]
    pub insecure: bool,
    /// Time limit of one call [default: 10s]
    #[arg(long, global = true, value_name = "SPAN", value_parser = span)]
    pub timeout: Option<Duration>,
}

/// A call of the broker.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum AdminCall {
    /// Show what the broker is doing
    Status,
    /// Show what the broker is doing, live, until you press q
    Watch(WatchArgs),
    /// List the polls that wait for a client, those that have waited longest first
    Polls(PollsArgs),
    /// Show the counts since the last block of the metrics log
    Stats {
        /// Print the block as it would be written now
        #[arg(long)]
        text: bool,
    },
    /// List, replace or check the bridges that clients may ask for
    #[command(subcommand)]
    Bridges(BridgesCall),
    /// Change the poll intervals of proxies; without options, show them
    Interval(IntervalArgs),
    /// Change the relay patterns that proxies must accept; without options, show them
    Relay(RelayArgs),
    /// Change the limits of one address; without options, show them
    Limits(LimitsArgs),
    /// Change the shares that sources of proxies may have; without options, show them
    Supply(SupplyArgs),
    /// Show how polls, matches and answers are distributed over the sources of proxies
    Sources(SourcesArgs),
    /// Print the rules of the policy as they are in a configuration, or replace them
    Policy(PolicyArgs),
    /// Show which rules of the policy apply to a client, and which polls it would get
    Explain(ExplainArgs),
    /// Show what clients lived through: tries, time until they were served, results
    Impact(ImpactArgs),
    /// Change what is logged
    Log(LogArgs),
    /// Reload the configuration and the files that it names
    Reload {
        /// Check them, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Stop accepting work, and let what is under way finish
    Drain {
        /// Time in which clients still get parked polls [default: `matching.drain_grace`]
        #[arg(long, value_name = "SPAN", value_parser = span)]
        grace: Option<Duration>,
    },
    /// End a drain
    Resume,
    /// Show the configuration in force, and where each value was set
    Config {
        /// Show only keys that begin with this, such as matching
        #[arg(value_name = "PREFIX", default_value = "", hide_default_value = true)]
        prefix: String,
    },
    /// List the brokers that lend to this one or borrow from it
    Peers,
    /// List the nodes of the cluster, as this one sees them
    Nodes,
    /// List, create or remove private pools
    #[command(subcommand)]
    Pools(PoolsCall),
    /// Print the versions of this program and of the broker
    Version,
}

/// The pace of watching.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct WatchArgs {
    /// Interval between updates, 100ms to 1h
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "1s")]
    pub interval: Duration,
    /// End after this number of updates
    #[arg(long, value_name = "NUMBER")]
    pub count: Option<NonZeroUsize>,
}

/// Which polls to list.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct PollsArgs {
    /// Conditions joined by AND, such as "pool = open AND waiting > 3s"; the fields are type,
    /// nat, pool, country, clients and waiting
    #[arg(long, default_value = "", hide_default_value = true)]
    pub filter: String,
    /// Largest number of polls to list
    #[arg(long, value_name = "NUMBER")]
    pub limit: Option<usize>,
}

/// A call about the bridges.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum BridgesCall {
    /// List the bridges
    List {
        /// Print them in the form of the file that `bridges set` reads
        #[arg(long, conflicts_with = "json")]
        as_file: bool,
    },
    /// Replace all bridges at once
    Set {
        /// Bridge list, one JSON object per line
        file: PathBuf,
        /// Write the list to `broker.bridge_list_path` as well, so that it outlasts a reload
        #[arg(long)]
        write_back: bool,
        /// Check the list, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// Replace only the list with this etag, which `bridges list --json` shows
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
    },
    /// Change the state or the weight of a bridge, until the next reload
    Change(BridgeArgs),
    /// Check a bridge list, without a broker
    Check {
        /// Bridge list, one JSON object per line
        file: PathBuf,
    },
}

/// The new values of a bridge's addresses.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct BridgeArgs {
    /// Fingerprint of the bridge, 40 or 64 hex digits
    pub fingerprint: String,
    /// Change only this address of the bridge [default: all of them]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub url: String,
    /// New state: up takes clients, drain keeps those that it has, down serves nobody
    #[arg(long, value_name = "STATE")]
    pub state: Option<StateWord>,
    /// New weight, relative to the bridge's other addresses
    #[arg(long, value_name = "NUMBER")]
    pub weight: Option<f64>,
    /// Write the list to `broker.bridge_list_path` as well, so that it outlasts a reload
    #[arg(long)]
    pub write_back: bool,
    /// Check the values, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// The state of a bridge's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StateWord {
    /// It takes new clients
    Up,
    /// It serves the clients that it has
    Drain,
    /// It serves nobody
    Down,
}

/// The intervals to change, each 1s to 24h.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct IntervalArgs {
    /// Interval of proxies that every client can reach
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub open: Option<Duration>,
    /// Interval of proxies behind a moderate NAT
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub moderate: Option<Duration>,
    /// Interval of proxies behind a strict or unknown NAT
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub strict: Option<Duration>,
    /// Interval of proxies that were refused for their relay pattern
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub refused: Option<Duration>,
    /// Interval of proxies that were turned away because too many polls are parked
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub overloaded: Option<Duration>,
    /// Check the values, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// The relay patterns to change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct RelayArgs {
    /// Relays that every proxy must accept: a host name suffix, or ^ and one exact name
    #[arg(long, value_name = "PATTERN")]
    pub allowed: Option<String>,
    /// Relays that a proxy accepts if it names none; empty means every relay
    #[arg(long, value_name = "PATTERN")]
    pub default: Option<String>,
    /// Serve proxies that name none only if the Tor Project's bridge is the only one
    #[arg(long, conflicts_with = "default")]
    pub no_default: bool,
    /// Check the values, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// The limits to change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct LimitsArgs {
    /// Polls of proxies per minute, on average; 0 means no limit
    #[arg(long, value_name = "NUMBER")]
    pub proxy_polls_per_minute: Option<u32>,
    /// The most that may come at once
    #[arg(long, value_name = "NUMBER")]
    pub proxy_poll_burst: Option<u32>,
    /// Polls of clients per minute, on average; 0 means no limit
    #[arg(long, value_name = "NUMBER")]
    pub client_polls_per_minute: Option<u32>,
    /// The most that may come at once
    #[arg(long, value_name = "NUMBER")]
    pub client_poll_burst: Option<u32>,
    /// Answers of proxies per minute, on average; 0 means no limit
    #[arg(long, value_name = "NUMBER")]
    pub answers_per_minute: Option<u32>,
    /// The most that may come at once
    #[arg(long, value_name = "NUMBER")]
    pub answer_burst: Option<u32>,
    /// Factor of the limits for an address that forwards the requests of many
    #[arg(long, value_name = "NUMBER")]
    pub intermediary_factor: Option<u32>,
    /// Network of AMP caches, or google, replacing all previous ones; may be repeated
    #[arg(long = "intermediary", value_name = "NETWORK")]
    pub intermediaries: Vec<String>,
    /// Remove all networks of AMP caches
    #[arg(long, conflicts_with = "intermediaries")]
    pub no_intermediaries: bool,
    /// Factor of the limits for an unknown peer that says it forwards for others
    #[arg(long, value_name = "NUMBER")]
    pub unconfirmed_factor: Option<u32>,
    /// Network without limits, replacing all previous ones; may be repeated
    #[arg(long, value_name = "NETWORK")]
    pub exempt: Vec<String>,
    /// Remove all networks without limits
    #[arg(long, conflicts_with = "exempt")]
    pub no_exempt: bool,
    /// Check the values, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// The shares to change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct SupplyArgs {
    /// Clients, among the recent ones, up to which a source is served as it comes
    #[arg(long, value_name = "NUMBER")]
    pub first_come: Option<u32>,
    /// Number of clients of a pool that are recent
    #[arg(long, value_name = "NUMBER")]
    pub recent_clients: Option<u32>,
    /// Clients per minute for one source, before any has worked; 0 means no limit
    #[arg(long, value_name = "NUMBER")]
    pub matches_per_minute: Option<u32>,
    /// Try a source that is not known to be good once in that many clients; 0 means never
    #[arg(long, value_name = "NUMBER")]
    pub explore_every: Option<u32>,
    /// Offers without an answer at a time; 0 means no limit
    #[arg(long, value_name = "NUMBER")]
    pub unanswered: Option<u32>,
    /// Parked polls; 0 means no limit
    #[arg(long, value_name = "NUMBER")]
    pub parked_per_source: Option<u32>,
    /// Factor of a source's clients for the network around it; 0 means no limit
    #[arg(long, value_name = "NUMBER")]
    pub sources_per_network: Option<u32>,
    /// Network whose sources have a multiple of all this, such as 192.0.2.0/24=10, replacing
    /// all previous ones; may be repeated
    #[arg(long = "network", value_name = "NETWORK=FACTOR", value_parser = network_share)]
    pub networks: Vec<NetworkShare>,
    /// Remove all networks with a multiple
    #[arg(long, conflicts_with = "networks")]
    pub no_networks: bool,
    /// Number of networks of clients whose last turn is remembered
    #[arg(long, value_name = "NUMBER")]
    pub max_client_networks: Option<u32>,
    /// Check the values, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A network and the multiple for its sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkShare {
    pub(super) network: String,
    pub(super) share: u32,
}

/// The numbers of sources to sum up.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct SourcesArgs {
    /// Show the share of that many sources with most
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', num_args = 0.., default_value = "1,10,100")]
    pub top: Vec<u32>,
}

/// The countries to show.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ImpactArgs {
    /// Show that many countries, those with most matches
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    pub countries: usize,
}

/// A filter of the log.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct LogArgs {
    /// Level (off, error, warn, info, debug, trace) or a filter such as
    /// `info,snowflake_broker::http=debug`
    pub filter: String,
    /// Time until the configuration's filter is restored, 1s to 24h [default: until the next
    /// reload]
    #[arg(long = "for", value_name = "SPAN", value_parser = span)]
    pub ttl: Option<Duration>,
    /// Check the filter, and change nothing
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
    span.ok_or_else(|| "must be a span of time such as 1s or 250ms, or a number of seconds".into())
}

fn network_share(text: &str) -> Result<NetworkShare, String> {
    let share = text.split_once('=').and_then(|(network, share)| {
        Some(NetworkShare {
            network: network.to_owned(),
            share: share.parse().ok()?,
        })
    });
    share.ok_or_else(|| "must be a network, = and a number, such as 192.0.2.0/24=10".into())
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
