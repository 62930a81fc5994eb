//! The flags of the reference broker, read as Go's `flag` package reads them:
//! with one dash or two, the value after `=` or in the next argument.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, value_parser};

use crate::config::Flag;

/// The commands that load the configuration, and so take the same flags as `run`. Their
/// help shows only the options that are theirs alone.
const LOADING: [&str; 2] = ["check-config", "print-config"];
const CONFIG: &str = "config";

/// Has the program take the flags before a command, and each command that makes
/// something of them after its name.
pub(super) fn add(program: clap::Command) -> clap::Command {
    add_as(program, ReferenceFlag::arg, true)
}

/// The same with switches that take no value, and nothing hidden. The generators of
/// completions know none that is optional: to them a flag takes the next word or nothing.
pub(super) fn add_for_completions(program: clap::Command) -> clap::Command {
    add_as(program, ReferenceFlag::arg_for_completions, false)
}

fn add_as(program: clap::Command, arg: fn(&ReferenceFlag) -> Arg, hides: bool) -> clap::Command {
    let args = || std::iter::once(config()).chain(FLAGS.iter().map(arg));
    let program = program
        .args(args())
        .mut_subcommand("run", |run| run.args(args()))
        .mut_subcommand("admin", |admin| admin.arg(config().global(true)));
    LOADING.into_iter().fold(program, |program, name| {
        let args = args().map(|arg| arg.hide(hides));
        program.mut_subcommand(name, |command| command.args(args))
    })
}

fn config() -> Arg {
    Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .help(
            "Configuration file; of several, each overrides those before it [default: \
             /etc/snowflake-broker/config.toml if it exists]",
        )
        .action(ArgAction::Append)
        .value_parser(value_parser!(PathBuf))
        .allow_hyphen_values(true)
}

/// The configuration files that were given; those after the command's name count.
pub(super) fn files(matches: &ArgMatches) -> Vec<PathBuf> {
    let files = |matches: &ArgMatches| {
        let files = matches.try_get_many::<PathBuf>(CONFIG).ok().flatten()?;
        Some(files.cloned().collect::<Vec<_>>())
    };
    let command = matches.subcommand().map(|(_, matches)| matches);
    command
        .and_then(files)
        .or_else(|| files(matches))
        .unwrap_or_default()
}

/// The names of the switches: the flags that may have a value, after `=`.
pub(super) fn switches() -> impl Iterator<Item = &'static str> {
    let switches = FLAGS.iter().filter(|flag| flag.value.is_none());
    switches.map(|flag| flag.name)
}

/// Those that were given; what comes after the command's name counts.
pub(super) fn given(matches: &ArgMatches) -> Vec<Flag> {
    let command = matches.subcommand().map(|(_, matches)| matches);
    let text = |matches: &ArgMatches, name| {
        let text = matches.try_get_one::<String>(name).ok().flatten();
        text.cloned()
    };
    let given = |flag: &ReferenceFlag| {
        let after = command.and_then(|command| text(command, flag.name));
        Some(Flag {
            name: flag.name.to_owned(),
            key: flag.key.to_owned(),
            text: after.or_else(|| text(matches, flag.name))?,
        })
    };
    FLAGS.iter().filter_map(given).collect()
}

/// A flag of the reference broker.
pub(super) struct ReferenceFlag {
    pub(super) name: &'static str,
    /// The key of the configuration it sets, which also judges its value.
    key: &'static str,
    /// The name of its value; none for those that are true by being there.
    pub(super) value: Option<&'static str>,
    help: &'static str,
}

impl ReferenceFlag {
    fn named(&self) -> Arg {
        Arg::new(self.name)
            .long(self.name)
            .help(self.help)
            .help_heading("Settings")
    }

    fn arg(&self) -> Arg {
        let arg = self.named();
        match self.value {
            Some(value) => arg.value_name(value).allow_hyphen_values(true),
            None => arg
                .value_name("BOOL")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true"),
        }
    }

    fn arg_for_completions(&self) -> Arg {
        match self.value {
            Some(_) => self.arg(),
            None => self.named().action(ArgAction::SetTrue),
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
pub(super) const FLAGS: [ReferenceFlag; 22] = [
    with_value("addr", "listener.addr", "ADDR", "Address and port to listen on [default: :443]"),
    switch("disable-tls", "tls.disable", "Serve without TLS, behind a reverse proxy that terminates it"),
    with_value("cert", "tls.cert", "FILE", "Certificate chain, PEM"),
    with_value("key", "tls.key", "FILE", "Private key of the certificate, PEM"),
    with_value("acme-hostnames", "acme.hostnames", "NAMES", "Host names to order a certificate for, separated by commas"),
    with_value("acme-email", "acme.email", "EMAIL", "Email address for messages from the certificate authority"),
    with_value("acme-cert-cache", "acme.cert_cache", "DIR", "Directory for ordered certificates [default: acme-cert-cache]"),
    with_value("trusted-hops", "http.trusted_hops", "COUNT", "Number of your reverse proxies in front of the broker [default: 1]"),
    with_value("bridge-list-path", "broker.bridge_list_path", "FILE", "Bridge list, one JSON object per line"),
    with_value("allowed-relay-pattern", "broker.allowed_relay_pattern", "PATTERN", "Relays that every proxy must accept"),
    with_value("default-relay-pattern", "broker.default_relay_pattern", "PATTERN", "Relays that a proxy accepts if it names none"),
    with_value("poll-interval-filepath", "poll_interval.filepath", "FILE", "Poll intervals of proxies, JSON"),
    switch("disable-geoip", "geoip.disable", "Look up no countries"),
    with_value("geoipdb", "geoip.geoipdb", "FILE", "IPv4 country database [default: /usr/share/tor/geoip]"),
    with_value("geoip6db", "geoip.geoip6db", "FILE", "IPv6 country database [default: /usr/share/tor/geoip6]"),
    with_value("metrics-log", "metrics.metrics_log", "FILE", "Metrics log, which /metrics serves"),
    with_value("ip-count-prefix", "metrics.ip_count_prefix", "PREFIX", "Prefix of the names of the files with address sketches"),
    with_value("ip-count-interval", "metrics.ip_count_interval", "SPAN", "Interval at which sketches are written [default: 1h]"),
    switch("unsafe-logging", "telemetry.unsafe_logging", "Keep IP addresses in log lines"),
    with_value("broker-sqs-name", "sqs.queue_name", "NAME", "SQS queue that clients write to"),
    with_value("broker-sqs-region", "sqs.region", "REGION", "Region of the SQS queue"),
    with_value("sqs-profiles", "sqs.profiles", "NAMES", "AWS profiles to poll the queue with, separated by commas"),
];

/// Gives every long flag two dashes, and the flags with a value theirs after
/// `=`: so a value is left alone that looks like a flag, and so is everything
/// after `--`.
pub(super) fn two_dashes(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
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

/// The text after the dash or dashes, unless it is a short flag or no flag.
fn long_name(argument: &str) -> Option<&str> {
    let name = argument.strip_prefix('-')?;
    let name = name.strip_prefix('-').unwrap_or(name);
    (name.chars().count() > 1 && !name.starts_with('-')).then_some(name)
}

fn takes_next(name: &str) -> bool {
    let is_it = |flag: &ReferenceFlag| flag.name == name && flag.value.is_some();
    name == "config" || FLAGS.iter().any(is_it)
}
