//! What a package carries beside the program: completions and man pages.

use std::path::Path;

use anyhow::Context as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::cli;

const PROGRAM: &str = "snowflake-broker";

/// A script that completes the command line in a shell.
pub(super) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::parser(), PROGRAM, &mut script);
    let script = String::from_utf8_lossy(&script);
    // In bash nothing below a name with a hyphen would be completed: the states
    // are set by one name and looked up by another (clap issue 6421).
    script.replace("snowflake__subcmd__broker", "snowflake__broker")
}

/// The man page of the program, in roff.
pub(super) fn man_page() -> anyhow::Result<String> {
    let mut page = Vec::new();
    // As `clap_mangen::generate_to` has it.
    let program = cli::parser().disable_help_subcommand(true);
    Man::new(program).render(&mut page)?;
    Ok(String::from_utf8(page)?)
}

/// Writes it and those of all commands, such as `snowflake-broker-admin-status.1`.
pub(super) fn write_man_pages(directory: &Path) -> anyhow::Result<()> {
    let written = clap_mangen::generate_to(cli::parser(), directory);
    written.with_context(|| format!("cannot write man pages into {}", directory.display()))
}
