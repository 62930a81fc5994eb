//! Blocks that are no commands: each is what its language says.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use snowflake_broker::bridges::BridgeList;

use super::markdown::{Block, Page, Role};
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
            "ini" => is_unit(&place, block),
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
        "let module = (\n{text}\n);
         pkgs.snowflake = \"/snowflake\";
         config = if builtins.isFunction module then module {{ inherit pkgs; }} else module;
         in import {repository}/nix/toml.nix (config.services.snowflake-broker.settings or {{ }})"
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

/// A drop-in that systemd understands, of the unit that its path names, else of the broker's.
fn is_unit(place: &str, block: &Block) {
    let text = &block.content;
    if !text.contains("[Service]") && !text.contains("[Socket]") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let default = if text.contains("[Socket]") {
        "snowflake-broker.socket"
    } else {
        "snowflake-broker.service"
    };
    let name = unit_of(&block.role).unwrap_or(default);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut units = [
        "snowflake-broker.service",
        "snowflake-broker.socket",
        "snowflake-broker-admin.socket",
    ]
    .map(|unit| repository.join("contrib/systemd").join(unit))
    .to_vec();
    if !units.iter().any(|unit| unit.ends_with(name)) {
        units.push(unpacked::file("lib/systemd/system").join(name));
    }
    for unit in units {
        let text = fs::read_to_string(&unit).unwrap();
        fs::write(
            folder.path().join(unit.file_name().unwrap()),
            for_here(&text),
        )
        .unwrap();
    }
    let drop_ins = folder.path().join(format!("{name}.d"));
    fs::create_dir(&drop_ins).unwrap();
    fs::write(drop_ins.join("page.conf"), for_here(text)).unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify
        .args(["verify", "--man=no"])
        .arg(folder.path().join(name));
    let output = succeeds(place, &mut verify, "");
    // It warns of what it does not know, and succeeds.
    let warnings = String::from_utf8_lossy(&output.stderr);
    assert_eq!(warnings, "", "{place}");
}

/// The unit whose drop-in a block is the content of.
fn unit_of(role: &Role) -> Option<&str> {
    let Role::File(path) = role else {
        return None;
    };
    let folder = Path::new(path).parent()?.file_name()?.to_str()?;
    folder.strip_suffix(".d")
}

/// A unit without the programs that are not here, and without what old systemd does not know.
fn for_here(unit: &str) -> String {
    let mut text = String::new();
    for line in unit.lines() {
        let line = match line.strip_prefix("ExecStart=/usr/bin/") {
            Some(_) => "ExecStart=/bin/true",
            None if line == "Type=notify-reload" => "Type=notify",
            // Debian names a page without its section.
            None if line.starts_with("Documentation=") => continue,
            None => line,
        };
        text.extend([line, "\n"]);
    }
    text
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
