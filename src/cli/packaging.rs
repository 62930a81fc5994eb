//! Shell completions and man pages, for packages.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::{arguments, flags, manual};

const PROGRAM: &str = "snowflake-broker";

/// A script that completes the command line in a shell.
pub(super) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    let mut program = arguments::parser_for_completions();
    clap_complete::generate(shell, &mut program, PROGRAM, &mut script);
    let script = String::from_utf8_lossy(&script);
    match shell {
        // bash would complete nothing below a name with a hyphen: clap sets states under
        // one name and looks them up under another (clap issue 6421).
        Shell::Bash => script.replace("snowflake__subcmd__broker", "snowflake__broker"),
        Shell::Fish => with_values(&script, fish_value),
        Shell::Zsh => with_values(&script, zsh_value),
        _ => script.into_owned(),
    }
}

/// The script with `change` applied to each line and switch: clap does not know how to
/// describe an optional value to these shells.
fn with_values(script: &str, change: fn(&str, &str) -> String) -> String {
    let changed = |line: &str| {
        let changed = flags::switches().fold(line.to_owned(), |line, name| change(&line, name));
        format!("{changed}\n")
    };
    script.lines().map(changed).collect()
}

/// fish's argparse marks an optional value with `=?`, its completions by a list without
/// `-r`.
fn fish_value(line: &str, switch: &str) -> String {
    if line.contains(&format!(" -l {switch} ")) {
        format!("{line} -f -a 'true false'")
    } else if line.trim_start().starts_with("string join ") {
        line.replace(&format!(" {switch} "), &format!(" '{switch}=?' "))
    } else {
        line.to_owned()
    }
}

/// zsh marks a value in the same word with `=-`, and an optional one with `::`.
fn zsh_value(line: &str, switch: &str) -> String {
    let described = line.strip_prefix(&format!("'--{switch}["));
    match described.and_then(|rest| rest.strip_suffix("]' \\")) {
        Some(help) => format!("'--{switch}=-[{help}]::BOOL:(true false)' \\"),
        None => line.to_owned(),
    }
}

/// The man page of the program, in roff.
pub(super) fn man_page() -> anyhow::Result<String> {
    let mut program = arguments::parser().disable_help_subcommand(true);
    program.build();
    Ok(String::from_utf8(page(&program)?)?)
}

/// Writes the man pages of the program and all commands, such as
/// `snowflake-broker-admin-status.1`.
pub(super) fn write_man_pages(directory: &Path) -> anyhow::Result<()> {
    let mut program = arguments::parser().disable_help_subcommand(true);
    program.build();
    let written = write_pages(&program, directory);
    written.with_context(|| format!("cannot write man pages into {}", directory.display()))
}

fn write_pages(command: &clap::Command, directory: &Path) -> io::Result<()> {
    for command in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        write_pages(command, directory)?;
    }
    let file = Man::new(command.clone()).get_filename();
    fs::write(directory.join(file), page(command)?)
}

/// As `clap_mangen` renders it, with our sections before the version.
fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone());
    let name = command.get_display_name().unwrap_or(command.get_name());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend(manual::roff(name).into_bytes());
    man.render_version_section(&mut page)?;
    Ok(page)
}
