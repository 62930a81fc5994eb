//! The commands, and what they say where.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use super::cli::{Cli, Command, PrintConfig};
use crate::config::{self, Config, Inputs, Loaded};

/// Read when no other file is named, if it is there.
const DEFAULT_FILE: &str = "/etc/snowflake-broker/config.toml";

/// For a wrong command line (clap's code, too) and a wrong configuration.
const MISCONFIGURED: u8 = 2;

/// Does what the arguments ask for; `serve` is what a broker does all day.
pub(super) fn dispatch(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    serve: impl FnOnce(Loaded) -> anyhow::Result<()>,
) -> ExitCode {
    let cli = match Cli::parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    if cli.command == Command::PrintConfig(PrintConfig { example: true }) {
        return exit_code(print(config::EXAMPLE));
    }
    let inputs = Inputs {
        file: cli.config,
        default_file: DEFAULT_FILE.into(),
        environment: environment.into_iter().collect(),
        flags: cli.flags,
    };
    let loaded = match config::load(&inputs) {
        Ok(loaded) => loaded,
        Err(errors) => {
            say(&errors);
            return MISCONFIGURED.into();
        }
    };
    exit_code(match cli.command {
        Command::Run => serve(loaded),
        Command::CheckConfig => check_config(&loaded),
        Command::PrintConfig(_) => print_config(&loaded),
    })
}

/// Prints what clap has to say: help and version to stdout, errors to stderr.
fn explain(error: &clap::Error) -> ExitCode {
    match error.print() {
        Ok(()) if error.use_stderr() => MISCONFIGURED.into(),
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn check_config(loaded: &Loaded) -> anyhow::Result<()> {
    warn(loaded);
    print("ok\n")
}

fn print_config(loaded: &Loaded) -> anyhow::Result<()> {
    warn(loaded);
    print(&Config::to_toml(&loaded.config)?)
}

fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        say(&format_args!("warning: {warning}"));
    }
}

fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// One message to stderr; where that is closed nobody wants to know.
fn say(message: &dyn Display) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}
