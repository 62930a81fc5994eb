//! The programs behind the command line: the broker, its checks, and the tools. Chooses
//! the program, and decides what each one prints and where.

pub mod arguments;
mod count_ips;
mod flags;
mod manual;
mod packaging;
mod times;
mod version;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::admin_client::{self, AdminArgs, Failure};
use crate::app;
use crate::app::files::WrongConfiguration;
use crate::causes::with_causes;
use crate::config::{self, Inputs, Loaded};

use arguments::{CheckConfig, Cli, Command, CountIps, PrintConfig};

/// The configuration file that is read if none is named and it exists.
const DEFAULT_FILE: &str = "/etc/snowflake-broker/config.toml";

/// The exit code for an invalid command line (also clap's), an invalid configuration
/// including the files named there, and invalid files given to a command.
const WRONG_INPUT: u8 = 2;

/// The exit code for every other failure.
const FAILED: u8 = 1;

/// Runs the program that the arguments request; the first one is the program's name.
///
/// The exit code is 0 for success, 2 for an invalid command line, configuration or file
/// named there, and 1 for every other failure, such as a broker that refuses an
/// operator's call.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let Cli {
        command,
        config,
        flags,
    } = match Cli::parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    let inputs = Inputs {
        files: config,
        default_file: DEFAULT_FILE.into(),
        environment: environment.into_iter().collect(),
        flags,
        named_files_are_elsewhere: command == Command::CheckConfig(CheckConfig { no_files: true }),
    };
    match command {
        Command::Run => configured(&inputs, |loaded| leave(app::serve(inputs.clone(), loaded))),
        Command::CheckConfig(CheckConfig { no_files }) => {
            configured(&inputs, |loaded| check_config(&loaded, no_files))
        }
        Command::PrintConfig(PrintConfig { example: true, .. }) => {
            exit_code(print(config::EXAMPLE))
        }
        Command::PrintConfig(PrintConfig { show_secrets, .. }) => {
            configured(&inputs, |loaded| print_config(&loaded, show_secrets))
        }
        Command::CountIps(asked) => count_ips(&asked),
        Command::Admin(asked) => admin(&asked, &inputs),
        Command::Completions { shell } => exit_code(print(&packaging::completions(shell))),
        Command::Man { directory } => exit_code(man(directory.as_deref())),
        Command::Version => exit_code(print(&format!("snowflake-broker {}\n", version::VERSION))),
    }
}

/// Runs a program that needs a valid configuration.
fn configured(inputs: &Inputs, act: impl FnOnce(Loaded) -> anyhow::Result<()>) -> ExitCode {
    match config::load(inputs) {
        Ok(loaded) => exit_code(act(loaded)),
        Err(errors) => {
            say(&errors);
            WRONG_INPUT.into()
        }
    }
}

/// Runs `count-ips`, which needs no configuration and reads files from any source.
fn count_ips(asked: &CountIps) -> ExitCode {
    match count_ips::estimate(asked) {
        Ok(count) => {
            if let Some(warning) = count.warning {
                say(&format_args!("warning: {warning}"));
            }
            exit_code(print(&format!("{}\n", count.addresses)))
        }
        Err(error) => {
            say(&with_causes(error.as_ref()));
            WRONG_INPUT.into()
        }
    }
}

fn admin(asked: &AdminArgs, inputs: &Inputs) -> ExitCode {
    let Err(failure) = admin_client::run(asked, inputs) else {
        return ExitCode::SUCCESS;
    };
    say(&failure);
    match failure {
        Failure::Input(_) => WRONG_INPUT.into(),
        _ => FAILED.into(),
    }
}

fn man(directory: Option<&Path>) -> anyhow::Result<()> {
    match directory {
        Some(directory) => packaging::write_man_pages(directory),
        None => print(&packaging::man_page()?),
    }
}

/// Prints clap's output: help and version to stdout, errors to stderr.
fn explain(error: &clap::Error) -> ExitCode {
    // clap would quote the argument, which may be a private key.
    if error.render().to_string().contains("-----BEGIN ") {
        say(&"an argument must be the path of a file, not its content");
        return WRONG_INPUT.into();
    }
    match error.print() {
        Ok(()) if error.use_stderr() => WRONG_INPUT.into(),
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => FAILED.into(),
    }
}

fn check_config(loaded: &Loaded, no_files: bool) -> anyhow::Result<()> {
    warn(&loaded.warnings);
    if !no_files {
        app::check(loaded, |warning| warn(&[warning]))?;
    }
    print("ok\n")
}

fn print_config(loaded: &Loaded, show_secrets: bool) -> anyhow::Result<()> {
    warn(&loaded.warnings);
    if show_secrets {
        return print(&loaded.config.to_toml()?);
    }
    let (text, hidden) = loaded.config.to_toml_without_secrets()?;
    for key in hidden {
        say(&format_args!(
            "warning: {key}: its secret is left out (--show-secrets prints it)"
        ));
    }
    print(&text)
}

fn warn(warnings: &[impl Display]) {
    for warning in warnings {
        say(&format_args!("warning: {warning}"));
    }
}

fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    status(result).into()
}

/// The number behind an exit code. Tells of the failure.
fn status(result: anyhow::Result<()>) -> u8 {
    let Err(error) = result else {
        return 0;
    };
    say(&with_causes(error.as_ref()));
    if error.is::<WrongConfiguration>() {
        WRONG_INPUT
    } else {
        FAILED
    }
}

/// Ends the program without exit handlers. Threads may still run: one that waits for a
/// slow file, or is in the middle of a handshake. AWS-LC's exit handlers free what random
/// numbers are made of, and a thread that needs some then aborts the program.
fn leave(result: anyhow::Result<()>) -> ! {
    signal_hook::low_level::exit(status(result).into())
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// Prints one message to stderr, and ignores errors: if stderr is closed, nobody reads
/// it.
fn say(message: &dyn Display) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}
