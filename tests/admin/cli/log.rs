//! The style of the broker's log on a terminal.

use tokio::process::Command;

use crate::cli::broker::program;
use crate::cli::terminal::Terminal;

fn broker() -> Command {
    let arguments = ["--disable-tls", "--disable-geoip", "--addr=127.0.0.1:0"];
    let mut command = program(arguments);
    command.env("SNOWFLAKE_BROKER_OPERATOR__LISTEN", "off");
    command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
    command
}

async fn has_colours(command: &Command) -> bool {
    let terminal = Terminal::start(command, (200, 40));
    terminal
        .until(|screen| screen.contents().contains("serving clients and proxies"))
        .await;
    terminal.bytes().contains(&0x1b)
}

async fn has_coloured_help(name: &str, value: &str) -> bool {
    let mut command = program(["--help"]);
    command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
    command.env(name, value).env("CI", "true");
    let terminal = Terminal::start(&command, (200, 80));
    terminal
        .until(|screen| screen.contents().contains("Usage:"))
        .await;
    terminal.bytes().contains(&0x1b)
}

#[tokio::test]
async fn the_help_has_colours_for_the_same_people() {
    assert!(has_coloured_help("NO_COLOR", "").await);
    assert!(!has_coloured_help("NO_COLOR", "1").await);
    assert!(!has_coloured_help("TERM", "dumb").await);
}

#[tokio::test]
async fn colours_are_for_those_who_want_them() {
    assert!(has_colours(&broker()).await);
    for (name, value, expected) in [
        ("NO_COLOR", "1", false),
        ("NO_COLOR", "", true),
        ("TERM", "dumb", false),
    ] {
        let mut command = broker();
        command.env(name, value);
        assert_eq!(has_colours(&command).await, expected, "{name}={value}");
    }
}
