//! The README's commands do what it says they do.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use snowflake_broker::broker::Mode;
use snowflake_broker::config::{Config, EXAMPLE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::support::port;

/// Longer than anything here takes; only what hangs runs into it.
const FOREVER: Duration = Duration::from_mins(1);
/// Where the README's broker listens; a test's has a port of its own.
const README_ADDR: &str = "127.0.0.1:8080";

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The part under a heading.
fn section(heading: &str) -> String {
    let readme = readme();
    let (_, rest) = readme.split_once(&format!("\n## {heading}\n")).unwrap();
    rest.split("\n## ").next().unwrap().to_owned()
}

/// The blocks of a language in a part.
fn blocks(part: &str, language: &str) -> Vec<String> {
    let opening = format!("\n```{language}\n");
    let opened = part.split(&opening).skip(1);
    opened
        .map(|block| block.split("\n```").next().unwrap().to_owned())
        .collect()
}

/// Runs a block in a shell that finds our program.
fn shell(script: &str, folder: &Path) -> Child {
    let program = Path::new(env!("CARGO_BIN_EXE_snowflake-broker"));
    let path = std::env::var("PATH").unwrap();
    Command::new("bash")
        .args(["-c", script])
        .current_dir(folder)
        .env(
            "PATH",
            format!("{}:{path}", program.parent().unwrap().display()),
        )
        // Where a script does not say, for a low port is not for everybody.
        .env("SNOWFLAKE_BROKER_LISTENER__ADDR", ":0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn output(child: Child) -> Output {
    let output = timeout(FOREVER, child.wait_with_output()).await;
    output.expect("a command hangs").unwrap()
}

async fn stdout(child: Child) -> String {
    let output = output(child).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until a proxy's poll is parked.
async fn until_parked(addr: SocketAddr) {
    let parked = timeout(FOREVER, async {
        while !debug(addr).await.contains("available: 1") {
            sleep(Duration::from_millis(10)).await;
        }
    });
    parked.await.expect("no poll is parked");
}

async fn debug(addr: SocketAddr) -> String {
    let mut text = String::new();
    if let Ok(mut stream) = TcpStream::connect(addr).await {
        stream
            .write_all(b"GET /debug HTTP/1.0\r\n\r\n")
            .await
            .unwrap();
        stream.read_to_string(&mut text).await.unwrap();
    }
    text
}

#[tokio::test]
async fn the_match_happens_as_printed() {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free().unwrap()));
    let here = |text: &str| text.replace(README_ADDR, &addr.to_string());
    let folder = tempfile::tempdir().unwrap();
    let run = &blocks(&section("Run it"), "sh")[0];
    let run = here(run).replace("cargo run --release --", "exec snowflake-broker");
    let _broker = shell(&run, folder.path());

    let part = section("See a match");
    let commands = blocks(&part, "sh");
    let [poll, offer, answer] = commands.as_slice() else {
        panic!("three commands, not {}", commands.len());
    };
    let in_foreground = |command: &str| here(command).trim_end_matches('&').to_owned();
    let printed = blocks(&part, "json");
    while debug(addr).await.is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    let poll = shell(&in_foreground(poll), folder.path());
    until_parked(addr).await;
    let offer = shell(&in_foreground(offer), folder.path());
    assert_eq!(stdout(poll).await, printed[0]);
    assert_eq!(
        stdout(shell(&here(answer), folder.path())).await,
        printed[1]
    );
    assert_eq!(stdout(offer).await, printed[2]);
}

#[tokio::test]
async fn the_configuration_is_written_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let script = &blocks(&section("Configure it"), "sh")[0];
    assert_eq!(stdout(shell(script, folder.path())).await, "ok\n");
    let written = fs::read_to_string(folder.path().join("config.toml")).unwrap();
    assert_eq!(written, EXAMPLE);
}

#[tokio::test]
async fn a_queue_is_configured_as_printed() {
    let folder = tempfile::tempdir().unwrap();
    let part = section("Let clients come through Amazon SQS");
    let script = &blocks(&part, "sh")[0];
    let expected = if cfg!(feature = "sqs") { "ok\n" } else { "" };
    let output = output(shell(script, folder.path())).await;
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[tokio::test]
async fn operators_steer_with_the_commands_as_printed() {
    const SOCKET: &str = "SNOWFLAKE_BROKER_ADMIN__LISTEN=$PWD/admin.sock";
    let folder = tempfile::tempdir().unwrap();
    let port = port::free().unwrap();
    let run = format!(
        "{SOCKET} exec snowflake-broker --disable-tls --disable-geoip --addr 127.0.0.1:{port}"
    );
    let _broker = shell(&run, folder.path());
    let listening = timeout(FOREVER, async {
        while !folder.path().join("admin.sock").exists() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    listening.await.expect("it does not listen");
    let commands = &blocks(&section("Steer it while it runs"), "sh")[0];
    for command in commands.lines() {
        let output = output(shell(&format!("export {SOCKET}\n{command}"), folder.path())).await;
        assert!(output.status.success(), "{command}: {output:?}");
        assert!(output.stderr.is_empty(), "{command}: {output:?}");
        assert!(
            !output.stdout.is_empty() || command.contains('>'),
            "{command}"
        );
    }
}

#[test]
fn the_adaptive_mode_is_set_as_printed() {
    let part = section("Let proxies poll less often");
    let config: Config = toml::from_str(&blocks(&part, "toml")[0]).unwrap();
    assert_eq!(config.poll_interval.mode, Mode::Adaptive);
}

#[test]
fn a_peer_is_configured_as_printed() {
    let part = section("Lend and borrow proxies");
    let config: Config = toml::from_str(&blocks(&part, "toml")[0]).unwrap();
    assert_eq!(config.federation.peers.len(), 1);
    assert!(config.federation.listen.is_some() && config.federation.tls.ca.is_some());
}

#[test]
fn the_bridge_in_the_readme_is_a_bridge() {
    let part = section("Point a real client and a real proxy at it");
    let list = blocks(&part, "json").concat();
    snowflake_broker::bridges::BridgeList::parse(&list).unwrap();
}

#[test]
fn the_table_of_settings_says_what_the_example_says() {
    let table = table_of_settings();
    let readme = readme();
    let (_, rest) = readme.split_once("<!-- settings -->").unwrap();
    let (printed, _) = rest.split_once("<!-- /settings -->").unwrap();
    assert_eq!(printed.trim(), table.trim(), "it should be:\n{table}");
}

/// A row for each key of the example: its comment, and its default if it is not
/// commented out.
fn table_of_settings() -> String {
    let mut table = String::from("| key | default | what |\n| --- | --- | --- |\n");
    let mut section = "";
    let mut comment = Vec::new();
    for line in EXAMPLE.lines() {
        let (text, is_comment) = match line.strip_prefix("# ") {
            Some(text) => (text, true),
            None => (line, false),
        };
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
            comment.clear();
        } else if let Some((key, default)) = key_and_default(text).filter(|_| !section.is_empty()) {
            let default = if is_comment {
                "not set".to_owned()
            } else {
                format!("`{default}`")
            };
            let what = comment.join(" ");
            writeln!(table, "| `{section}.{key}` | {default} | {what} |").unwrap();
            comment.clear();
        } else if is_comment {
            comment.push(text);
        } else {
            comment.clear();
        }
    }
    table
}

fn key_and_default(line: &str) -> Option<(&str, &str)> {
    let (key, default) = line.split_once(" = ")?;
    let is_key = key
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    is_key.then_some((key, default))
}
