//! Blocks that are no commands: each is what its language says.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use snowflake_broker::bridges::BridgeList;

use super::markdown::{Block, Page};
use crate::support::unpacked;

/// The languages of blocks.
const LANGUAGES: [&str; 11] = [
    "sh",
    "text",
    "json",
    "toml",
    "nix",
    "ini",
    "yaml",
    "nginx",
    "haproxy",
    "caddyfile",
    "torrc",
];

/// Programs whose calls are no text: where a page has one, it is in a block of `sh`.
const PROGRAMS: [&str; 16] = [
    "snowflake-broker",
    "snowflake-proxy",
    "cargo",
    "curl",
    "grpcurl",
    "systemctl",
    "systemd-sysusers",
    "install",
    "nix",
    "nixos-rebuild",
    "apt",
    "git",
    "tests/run",
    "target/release",
    "openssl",
    "kill",
];

pub(crate) fn check(page: &Page) {
    for block in page.blocks() {
        let place = format!("{}:{}", page.path, block.line);
        let language = block.language.as_str();
        assert!(LANGUAGES.contains(&language), "{place}: {language:?}");
        match language {
            "sh" => is_shell(&place, &block.content),
            "text" => has_no_command(&place, block),
            "json" => is_json(&place, &block.content),
            "toml" => is_configuration(&place, &block.content),
            "nix" => is_nix(&place, &block.content),
            "ini" => is_unit(&place, &block.content),
            // The pages that have them run the programs that read them.
            _ => {}
        }
    }
}

fn is_shell(place: &str, script: &str) {
    succeeds(place, Command::new("bash").arg("-n"), script);
}

fn has_no_command(place: &str, block: &Block) {
    for line in block.content.lines() {
        let program = PROGRAMS
            .iter()
            .find(|program| line.starts_with(&format!("{program} ")));
        assert_eq!(program, None, "{place}: a command that nobody runs: {line}");
    }
}

/// One value, or one a line; a list of bridges is one that the broker takes.
fn is_json(place: &str, text: &str) {
    let values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    let values = values.collect::<Result<Vec<_>, _>>();
    let values = values.unwrap_or_else(|error| panic!("{place}: {error}"));
    assert!(!values.is_empty(), "{place}");
    if values[0].get("webSocketAddress").is_some() {
        let list = BridgeList::parse(text);
        assert!(list.is_ok(), "{place}: {:?}", list.err());
    }
}

/// What the broker takes for its configuration, when it is told to serve without TLS if
/// the block does not say how.
fn is_configuration(place: &str, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    fs::write(&file, text).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
    check.arg("--config").arg(file);
    check.args(["check-config", "--no-files"]);
    let says_how = ["[tls]", "[acme]"].iter().any(|head| text.contains(head));
    if !says_how {
        check.env("SNOWFLAKE_BROKER_TLS__DISABLE", "true");
    }
    succeeds(place, &mut check, "");
}

/// Of a module that sets the broker's settings these are settings; anything else is Nix.
fn is_nix(place: &str, text: &str) {
    let mut parse = nix_instantiate();
    succeeds(place, parse.args(["--parse", "-"]), text);
    if !text.contains("services.snowflake-broker") {
        return;
    }
    let repository = env!("CARGO_MANIFEST_DIR");
    let expression = format!(
        "let module = (\n{text}\n); in
         import {repository}/nix/toml.nix (module.services.snowflake-broker.settings or {{ }})"
    );
    let mut evaluate = nix_instantiate();
    evaluate.args(["--eval", "--strict", "--json", "-"]);
    let toml = succeeds(place, &mut evaluate, &expression).stdout;
    let toml: String = serde_json::from_slice(&toml).unwrap();
    is_configuration(place, &toml);
}

fn nix_instantiate() -> Command {
    let unpacked = unpacked::file("").join("nix/nix-instantiate");
    let program = if unpacked.exists() {
        unpacked
    } else {
        PathBuf::from("nix-instantiate")
    };
    let mut command = Command::new(program);
    command.args(["--store", "dummy://"]);
    command
}

/// A drop-in of the broker's unit that systemd understands.
fn is_unit(place: &str, text: &str) {
    if !text.contains("[Service]") && !text.contains("[Socket]") {
        return;
    }
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let name = if text.contains("[Socket]") {
        "snowflake-broker.socket"
    } else {
        "snowflake-broker.service"
    };
    let systemd = repository.join("contrib/systemd");
    for unit in [
        "snowflake-broker.service",
        "snowflake-broker.socket",
        "snowflake-broker-admin.socket",
    ] {
        let text = fs::read_to_string(systemd.join(unit)).unwrap();
        // There is no such program here; and before version 253 no such type.
        let text = text
            .replace(
                "/usr/bin/snowflake-broker --config /etc/snowflake-broker/config.toml",
                "/bin/true",
            )
            .replace("Type=notify-reload", "Type=notify");
        fs::write(folder.path().join(unit), text).unwrap();
    }
    let drop_ins = folder.path().join(format!("{name}.d"));
    fs::create_dir(&drop_ins).unwrap();
    fs::write(drop_ins.join("page.conf"), text).unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify
        .args(["verify", "--man=no"])
        .arg(folder.path().join(name));
    let output = succeeds(place, &mut verify, "");
    // It warns of what it does not know, and succeeds.
    let warnings = String::from_utf8_lossy(&output.stderr);
    assert_eq!(warnings, "", "{place}");
}

fn succeeds(place: &str, command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{place}: {command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{place}: {errors}");
    output
}
