//! The command line. The flags of a broker are those of the reference broker, of
//! a repeated one the last counts. Everything else is set by file or environment.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use prost_types::Timestamp;

use crate::admin_client::AdminArgs;
use crate::app;
use crate::config::Flag;

use super::version::VERSION;
use super::{flags, times};

/// The command line, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Cli {
    /// The command.
    pub command: Command,
    /// The configuration files that were named, in this order.
    pub config: Vec<PathBuf>,
    /// The flags that were given, in no particular order, each once.
    pub flags: Vec<Flag>,
}

/// A command: one of the programs.
#[derive(Clone, Debug, Default, PartialEq, Subcommand)]
pub enum Command {
    /// Run the broker, as without a command
    #[default]
    Run,
    /// Check the configuration and the files that it names
    ///
    /// Prints `ok`, or every problem with the key and where it was set. Takes --config and the
    /// flags of `run`.
    CheckConfig(CheckConfig),
    /// Print the configuration that defaults, files, environment and flags result in
    ///
    /// Takes --config and the flags of `run`.
    PrintConfig(PrintConfig),
    /// Estimate the number of different addresses in files of --ip-count-prefix
    CountIps(CountIps),
    /// Inspect and control a running broker
    Admin(Box<AdminArgs>),
    /// Print a completion script for a shell
    Completions {
        /// Shell to complete the command line in
        shell: Shell,
    },
    /// Print the manual page
    Man {
        /// Write the pages of all commands into this directory instead
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
    /// Print the version, the commit and the features of this program
    Version,
}

/// The extent of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct CheckConfig {
    /// Skip the files and addresses that keys name, on a machine that is not the broker's
    #[arg(long)]
    pub no_files: bool,
}

/// The recordings to count.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct CountIps {
    /// Files of recordings, of any proxy types, NATs and brokers
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Leave out recordings that began earlier: 2026-10-01T12:00:00Z, 2026-10-01 12:00 (UTC),
    /// or a day such as 2026-10-01
    #[arg(long, value_name = "TIME", value_parser = times::beginning)]
    pub from: Option<Timestamp>,
    /// Leave out recordings that ended later; a day counts as a whole
    #[arg(long, value_name = "TIME", value_parser = times::end)]
    pub to: Option<Timestamp>,
}

/// The form in which the configuration is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct PrintConfig {
    /// Print an example file instead, with every key explained and at its default
    #[arg(long)]
    pub example: bool,
    /// Print secrets as well, which are left out otherwise
    #[arg(long, conflicts_with = "example", alias = "secrets")]
    pub show_secrets: bool,
}

impl Cli {
    /// Reads the arguments, the first being the program's name.
    ///
    /// # Errors
    /// The refusal by clap; also its answers to `--help` and `--version`.
    pub fn parse_from(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let parser = parser().color(colours());
        let matches = parser.try_get_matches_from(flags::two_dashes(arguments))?;
        let own = Own::from_arg_matches(&matches)?;
        Ok(Self {
            command: own.command.unwrap_or_default(),
            config: flags::files(&matches),
            flags: flags::given(&matches),
        })
    }
}

#[derive(Parser)]
#[command(
    name = "snowflake-broker",
    version = VERSION,
    propagate_version = true,
    about,
    args_override_self = true,
    after_help = "Flags may be written with one dash or two. Every setting can be in the file or in \
                  the environment (SNOWFLAKE_BROKER_SECTION__KEY): see `print-config --example`."
)]
struct Own {
    #[command(subcommand)]
    command: Option<Command>,
}

/// The whole command line, for its help and man pages.
pub(super) fn parser() -> clap::Command {
    flags::add(Own::command())
}

/// The colours of help and errors: none where the log has none, even if CI is set, for which
/// clap has them on a dumb terminal, too.
fn colours() -> ColorChoice {
    if app::shows_colours() {
        ColorChoice::Auto
    } else {
        ColorChoice::Never
    }
}

/// The same as shells complete it: the values of [`switches`] are left out.
pub(super) fn parser_for_completions() -> clap::Command {
    flags::add_for_completions(Own::command())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{CheckConfig, Cli, Command, CountIps, PrintConfig, parser};
    use crate::cli::flags::FLAGS;

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

    fn check(no_files: bool) -> Command {
        Command::CheckConfig(CheckConfig { no_files })
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
        assert_eq!(cli.command, check(false));
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
            assert_eq!(cli.command, check(false), "{line}");
            assert_eq!(cli.config, [PathBuf::from("a.toml")], "{line}");
            assert_eq!(cli.flags.len(), 1, "{line}");
        }
        assert_eq!(only("-addr :1 print-config -addr :2").1, ":2");
    }

    #[test]
    fn configuration_files_in_their_order() {
        let files = |line| parse(line).config;
        let both: [PathBuf; 2] = ["b.toml".into(), "a.toml".into()];
        assert_eq!(files("-config b.toml --config=a.toml check-config"), both);
        assert_eq!(files("check-config -config b.toml -config a.toml"), both);
        // As with the flags.
        let after = files("-config a.toml check-config -config b.toml");
        assert_eq!(after, [PathBuf::from("b.toml")]);
    }

    #[test]
    fn commands() {
        let printed = |example, show_secrets| {
            Command::PrintConfig(PrintConfig {
                example,
                show_secrets,
            })
        };
        assert_eq!(parse("-unsafe-logging").command, Command::Run);
        assert_eq!(parse("run").command, Command::Run);
        assert_eq!(parse("check-config -no-files").command, check(true));
        assert_eq!(parse("print-config").command, printed(false, false));
        assert_eq!(parse("print-config -example").command, printed(true, false));
        assert_eq!(
            parse("print-config -show-secrets").command,
            printed(false, true)
        );
        // Its name until version 0.2.
        assert_eq!(parse("print-config -secrets").command, printed(false, true));
        refuse("print-config --show-secrets --example");
    }

    #[test]
    fn what_to_count() {
        let line = "count-ips a.jsonl -from 1970-01-01T00:00:01Z b.jsonl --to=1970-01-01T00:00:02Z";
        let expected = CountIps {
            files: vec!["a.jsonl".into(), "b.jsonl".into()],
            from: Some("1970-01-01T00:00:01Z".parse().unwrap()),
            to: Some("1970-01-01T00:00:02Z".parse().unwrap()),
        };
        assert_eq!(parse(line).command, Command::CountIps(expected.clone()));
        let line = "count-ips a.jsonl b.jsonl -from 1970-01-01T00:00:01 -to=1970-01-01T00:00:02";
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
