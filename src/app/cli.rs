//! The command line. The flags are those of the reference broker, read as Go's
//! `flag` package reads them: with one dash or two, the value after `=` or in
//! the next argument, of a repeated flag the last. Everything else is set by
//! file or environment.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use jiff::Timestamp;

use crate::config::Flag;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Cli {
    /// What to do.
    pub command: Command,
    /// The configuration file that was named.
    pub config: Option<PathBuf>,
    /// The flags that were given, in no particular order, each once.
    pub flags: Vec<Flag>,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Be a broker; this is what happens without a command
    #[default]
    Run,
    /// Say `ok`, or name every wrong key, its value and where it came from
    CheckConfig,
    /// Print the configuration as all of defaults, file, environment and flags make it
    PrintConfig(PrintConfig),
    /// Estimate how many different addresses there are in files of --ip-count-prefix
    CountIps(CountIps),
}

/// What to count.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct CountIps {
    /// Files of recordings, of any types, NATs and brokers
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Leave out what began earlier, such as 2026-10-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Leave out what ended later
    #[arg(long, value_name = "TIME")]
    pub to: Option<Timestamp>,
}

/// How to print the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct PrintConfig {
    /// Print a file with every key at its default, explained
    #[arg(long)]
    pub example: bool,
}

impl Cli {
    /// Reads the arguments, the first being the program's name.
    ///
    /// # Errors
    /// What clap says; also its answers to `--help` and `--version`.
    pub fn parse_from(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = parser().try_get_matches_from(two_dashes(arguments))?;
        let own = Own::from_arg_matches(&matches)?;
        Ok(Self {
            command: own.command.unwrap_or_default(),
            config: own.config,
            flags: given(&matches),
        })
    }
}

#[derive(Parser)]
#[command(
    name = "snowflake-broker",
    version,
    about,
    args_override_self = true,
    after_help = "A flag may have one dash or two. Every setting can be in the file and in the \
                  environment (SNOWFLAKE_BROKER_SECTION__KEY): see `print-config --example`."
)]
struct Own {
    /// Configuration file [default: /etc/snowflake-broker/config.toml if it is there]
    #[arg(long, value_name = "FILE", global = true, allow_hyphen_values = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

fn parser() -> clap::Command {
    Own::command().args(FLAGS.iter().map(ReferenceFlag::arg))
}

fn given(matches: &ArgMatches) -> Vec<Flag> {
    let given = |flag: &ReferenceFlag| {
        let text = matches.get_one::<String>(flag.name)?;
        Some(Flag {
            name: flag.name.to_owned(),
            key: flag.key.to_owned(),
            text: text.clone(),
        })
    };
    FLAGS.iter().filter_map(given).collect()
}

/// A flag of the reference broker.
struct ReferenceFlag {
    name: &'static str,
    /// The key of the configuration it sets, which also judges its value.
    key: &'static str,
    /// What its value is; none for those that are true by being there.
    value: Option<&'static str>,
    help: &'static str,
}

impl ReferenceFlag {
    fn arg(&self) -> Arg {
        let arg = Arg::new(self.name)
            .long(self.name)
            .help(self.help)
            .global(true)
            .help_heading("Settings");
        match self.value {
            Some(value) => arg.value_name(value).allow_hyphen_values(true),
            None => arg
                .value_name("BOOL")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true"),
        }
    }
}

const fn with_value(
    name: &'static str,
    key: &'static str,
    value: &'static str,
    help: &'static str,
) -> ReferenceFlag {
    ReferenceFlag {
        name,
        key,
        value: Some(value),
        help,
    }
}

const fn switch(name: &'static str, key: &'static str, help: &'static str) -> ReferenceFlag {
    ReferenceFlag {
        name,
        key,
        value: None,
        help,
    }
}

#[rustfmt::skip]
const FLAGS: [ReferenceFlag; 22] = [
    with_value("addr", "listener.addr", "ADDR", "Address and port to listen on [default: :443]"),
    switch("disable-tls", "tls.disable", "Serve in the clear, behind something that ends TLS"),
    with_value("cert", "tls.cert", "FILE", "The certificate chain, PEM"),
    with_value("key", "tls.key", "FILE", "Its private key, PEM"),
    with_value("acme-hostnames", "acme.hostnames", "NAMES", "Host names to order a certificate for, with commas"),
    with_value("acme-email", "acme.email", "EMAIL", "Where the certificate authority may write to"),
    with_value("acme-cert-cache", "acme.cert_cache", "DIR", "Directory that keeps certificates [default: acme-cert-cache]"),
    with_value("trusted-hops", "http.trusted_hops", "COUNT", "Proxies of yours in front of the broker [default: 1]"),
    with_value("bridge-list-path", "broker.bridge_list_path", "FILE", "The bridges, one JSON object a line"),
    with_value("allowed-relay-pattern", "broker.allowed_relay_pattern", "PATTERN", "The relays that every proxy has to accept"),
    with_value("default-relay-pattern", "broker.default_relay_pattern", "PATTERN", "What a proxy accepts that does not say"),
    with_value("poll-interval-filepath", "poll_interval.filepath", "FILE", "When proxies poll again, JSON"),
    switch("disable-geoip", "geoip.disable", "Look up no country"),
    with_value("geoipdb", "geoip.geoipdb", "FILE", "IPv4 country database [default: /usr/share/tor/geoip]"),
    with_value("geoip6db", "geoip.geoip6db", "FILE", "IPv6 country database [default: /usr/share/tor/geoip6]"),
    with_value("metrics-log", "metrics.metrics_log", "FILE", "The metrics log that /metrics serves"),
    with_value("ip-count-prefix", "metrics.ip_count_prefix", "PREFIX", "Beginning of the names of the files with address sketches"),
    with_value("ip-count-interval", "metrics.ip_count_interval", "SPAN", "How often a sketch is written [default: 1h]"),
    switch("unsafe-logging", "telemetry.unsafe_logging", "Keep IP addresses in log lines"),
    with_value("broker-sqs-name", "sqs.queue_name", "NAME", "The SQS queue that clients write to"),
    with_value("broker-sqs-region", "sqs.region", "REGION", "Its region"),
    with_value("sqs-profiles", "sqs.profiles", "NAMES", "AWS profiles to poll it with, with commas"),
];

/// Gives every long flag two dashes, and the flags with a value theirs after
/// `=`: so a value is left alone that looks like a flag, and so is everything
/// after `--`.
fn two_dashes(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = arguments.into_iter();
    let mut result: Vec<OsString> = arguments.next().into_iter().collect();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            result.push(argument);
            break;
        }
        let Some(name) = argument.to_str().and_then(long_name) else {
            result.push(argument);
            continue;
        };
        let mut long = OsString::from(format!("--{name}"));
        if takes_next(name)
            && let Some(value) = arguments.next()
        {
            long.push("=");
            long.push(value);
        }
        result.push(long);
    }
    result.extend(arguments);
    result
}

/// What follows the dash or dashes, unless it is a short flag or no flag.
fn long_name(argument: &str) -> Option<&str> {
    let name = argument.strip_prefix('-')?;
    let name = name.strip_prefix('-').unwrap_or(name);
    (name.chars().count() > 1 && !name.starts_with('-')).then_some(name)
}

fn takes_next(name: &str) -> bool {
    let is_it = |flag: &ReferenceFlag| flag.name == name && flag.value.is_some();
    name == "config" || FLAGS.iter().any(is_it)
}

#[cfg(test)]
mod tests {
    use super::{Cli, Command, CountIps, FLAGS, PrintConfig, parser};

    fn parse(line: &str) -> Cli {
        let words = std::iter::once("snowflake-broker").chain(line.split(' '));
        Cli::parse_from(words.map(Into::into)).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn refuse(line: &str) -> String {
        let words = std::iter::once("snowflake-broker").chain(line.split(' '));
        let error = Cli::parse_from(words.map(Into::into)).expect_err("a wrong line");
        error.to_string()
    }

    fn only(line: &str) -> (String, String) {
        let mut flags = parse(line).flags;
        assert_eq!(flags.len(), 1, "{line}");
        let flag = flags.remove(0);
        (flag.name, flag.text)
    }

    #[test]
    fn the_parser_is_sound() {
        parser().debug_assert();
    }

    #[test]
    fn every_flag_in_every_form() {
        for flag in FLAGS {
            let name = flag.name;
            let expected = (name.to_owned(), "-x,y".to_owned());
            assert_eq!(only(&format!("-{name}=-x,y")), expected);
            assert_eq!(only(&format!("--{name}=-x,y")), expected);
            if flag.value.is_some() {
                assert_eq!(only(&format!("-{name} -x,y")), expected);
                assert_eq!(only(&format!("--{name} -x,y")), expected);
                assert_eq!(only(&format!("-{name}=")).1, "");
                refuse(&format!("-{name}"));
            } else {
                assert_eq!(only(&format!("-{name}")).1, "true");
                assert_eq!(only(&format!("--{name}")).1, "true");
            }
        }
    }

    #[test]
    fn switches_take_no_next_argument() {
        let cli = parse("-disable-tls check-config");
        assert_eq!(cli.command, Command::CheckConfig);
        refuse("-disable-tls true");
    }

    #[test]
    fn values_that_look_like_flags_are_left_alone() {
        let expected = ("metrics-log".to_owned(), "-addr".to_owned());
        assert_eq!(only("-metrics-log -addr"), expected);
        let expected = ("metrics-log".to_owned(), "--addr=:1".to_owned());
        assert_eq!(only("-metrics-log --addr=:1"), expected);
        let expected = ("metrics-log".to_owned(), "--".to_owned());
        assert_eq!(only("--metrics-log --"), expected);
    }

    #[test]
    fn after_two_dashes_there_are_no_flags() {
        let message = refuse("-- -addr :1");
        assert!(message.contains("'-addr'"), "{message}");
    }

    #[test]
    fn the_last_of_a_repeated_flag_counts() {
        assert_eq!(only("-addr :1 --addr=:2").1, ":2");
        assert_eq!(only("-disable-tls -disable-tls=false").1, "false");
    }

    #[test]
    fn flags_before_and_after_the_command() {
        for line in [
            "-addr :1 -config a.toml check-config",
            "check-config -addr :1 -config a.toml",
            "-addr :1 check-config --config=a.toml",
        ] {
            let cli = parse(line);
            assert_eq!(cli.command, Command::CheckConfig, "{line}");
            assert_eq!(cli.config, Some("a.toml".into()), "{line}");
            assert_eq!(cli.flags.len(), 1, "{line}");
        }
        assert_eq!(only("-addr :1 print-config -addr :2").1, ":2");
    }

    #[test]
    fn commands() {
        let example = |example| Command::PrintConfig(PrintConfig { example });
        assert_eq!(parse("-unsafe-logging").command, Command::Run);
        assert_eq!(parse("run").command, Command::Run);
        assert_eq!(parse("print-config").command, example(false));
        assert_eq!(parse("print-config -example").command, example(true));
    }

    #[test]
    fn what_to_count() {
        let line = "count-ips a.jsonl -from 1970-01-01T00:00:01Z b.jsonl --to=1970-01-01T00:00:02Z";
        let expected = CountIps {
            files: vec!["a.jsonl".into(), "b.jsonl".into()],
            from: Some("1970-01-01T00:00:01Z".parse().unwrap()),
            to: Some("1970-01-01T00:00:02Z".parse().unwrap()),
        };
        assert_eq!(parse(line).command, Command::CountIps(expected));
        refuse("count-ips");
        refuse("count-ips a.jsonl --from yesterday");
    }

    #[test]
    fn an_unknown_flag_is_named() {
        let message = refuse("-adr :1");
        assert!(message.contains("'--adr'"), "{message}");
    }
}
