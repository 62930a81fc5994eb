//! Runs the commands of a page, from top to bottom, on a machine of their own: in
//! namespaces of mounts, network and processes, where `/etc`, `/usr`, `/var`, `/run` and
//! all ports are theirs, and what they write is gone in the end. A page may have several
//! machines in a network. `stand-ins` has the programs that would need more of a machine
//! than that.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::markdown::{Block, Item, Page, Role};
use crate::support::unpacked;

/// Longer than a page takes; only what hangs runs into it.
const FOREVER: Duration = Duration::from_mins(2);

/// Makes the machine, and tells it how a broker is started and awaited.
const PRELUDE: &str = include_str!("prelude.sh");

/// The name of the first machine.
const HERE: &str = "here";

/// The languages of blocks that show what the commands before them print.
const OUTPUTS: [&str; 2] = ["text", "json"];

/// Runs a page, and compares what is printed with what the page says is printed.
pub(crate) async fn run(page: &Page, syntax_only: &[&str]) {
    for items in page.items.split(|item| matches!(item, Item::NewMachine)) {
        run_items(page, items, syntax_only).await;
    }
}

async fn run_items(page: &Page, items: &[Item], syntax_only: &[&str]) {
    let script = script(page, items, syntax_only);
    let folder = tempfile::tempdir().unwrap();
    let outputs = folder.path().join("outputs");
    let status = timeout(FOREVER, shell(&script, folder.path()).status()).await;
    let succeeded = status.is_ok_and(|status| status.unwrap().success());
    assert!(
        succeeded,
        "{}: a command fails or hangs, the last one here:\n{}",
        page.path,
        logs(&outputs)
    );
    for pair in items.windows(2) {
        let Some((command, printed)) = printed(pair) else {
            continue;
        };
        if is_syntax_only(command, syntax_only) {
            continue;
        }
        let file = outputs.join(command.line.to_string());
        let output = fs::read_to_string(file).unwrap();
        assert!(
            fits(&output, &printed.content),
            "{}:{}: it prints\n{output}\nand not\n{}",
            page.path,
            printed.line,
            printed.content,
        );
    }
}

/// What a block is said to print.
fn printed(pair: &[Item]) -> Option<(&Block, &Block)> {
    let [Item::Block(command), Item::Block(printed)] = pair else {
        return None;
    };
    let is_output = OUTPUTS.contains(&&*printed.language) && printed.role == Role::Plain;
    (command.language == "sh" && is_output).then_some((command, printed))
}

/// Whether an output is as expected, where `...` stands for anything.
pub(crate) fn fits(output: &str, expected: &str) -> bool {
    let mut rest = output.trim_end();
    let mut parts = expected.trim_end().split("...");
    let first = parts.next().unwrap_or_default();
    let Some(after) = rest.strip_prefix(first) else {
        return false;
    };
    rest = after;
    let mut last = None;
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        last = Some(part);
        rest = after;
    }
    // The last part has to be at the end, wherever it was found first.
    rest.is_empty() || last.is_some_and(|part| output.trim_end().ends_with(part))
}

fn is_syntax_only(block: &Block, syntax_only: &[&str]) -> bool {
    syntax_only.iter().any(|part| block.content.contains(part))
}

/// All steps as one script, in which each block leaves its output in a file.
fn script(page: &Page, items: &[Item], syntax_only: &[&str]) -> String {
    let mut script = String::from(PRELUDE);
    let mut machine = HERE;
    for item in items {
        let (line, step) = match item {
            Item::Hidden { line, script } => (*line, script.clone()),
            Item::Block(block) => (block.line, step(block, syntax_only)),
            Item::On(name) => {
                machine = name;
                continue;
            }
            Item::Heading | Item::NewMachine => continue,
        };
        if !step.is_empty() {
            writeln!(script, "echo '{}:{line}' >&2", page.path).unwrap();
            script.push_str(&on(machine, step));
        }
    }
    script
}

fn on(machine: &str, step: String) -> String {
    if machine == HERE {
        step
    } else {
        format!("on '{machine}' << 'END_OF_STEP'\n{step}END_OF_STEP\n")
    }
}

fn step(block: &Block, syntax_only: &[&str]) -> String {
    let Block { line, content, .. } = block;
    match (&block.role, block.language.as_str()) {
        (Role::File(path), _) => {
            format!("write_file '{path}' << 'END_OF_BLOCK'\n{content}END_OF_BLOCK\n")
        }
        (_, "sh") if is_syntax_only(block, syntax_only) => {
            format!("bash -n << 'END_OF_BLOCK'\n{content}END_OF_BLOCK\n")
        }
        (Role::Serves, "sh") => {
            format!("serve << 'END_OF_BLOCK'\n{content}END_OF_BLOCK\n")
        }
        (_, "sh") => format!("{{\n{content}}} > \"$OUTPUTS/{line}\"\n"),
        _ => String::new(),
    }
}

fn shell(script: &str, folder: &Path) -> Command {
    let bin = folder.join("bin");
    let home = folder.join("home");
    for folder in [&bin, &home, &folder.join("outputs")] {
        fs::create_dir(folder).unwrap();
    }
    let broker = Path::new(env!("CARGO_BIN_EXE_snowflake-broker"));
    symlink(broker, bin.join("snowflake-broker")).unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut path: Vec<PathBuf> = vec![repository.join("tests/real/pages/stand-ins"), bin];
    let unpacked =
        ["usr/bin", "usr/sbin", "bin", "nats/bin"].map(|folder| unpacked::file("").join(folder));
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    // Ours come last: a program that the machine has is whole.
    path.extend(unpacked);
    let script_file = folder.join("script");
    fs::write(&script_file, script).unwrap();
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--map-root-user", "--mount", "--net", "--pid", "--fork"])
        .args(["--mount-proc", "--kill-child", "bash"])
        .arg(script_file)
        .current_dir(&home)
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("HOME", &home)
        .env("BROKER", broker)
        .env("REPOSITORY", repository)
        .env("UNPACKED", unpacked::file(""))
        .env("OUTPUTS", folder.join("outputs"))
        .env("MACHINE", folder.join("machine"))
        .stdin(Stdio::null())
        .stderr(fs::File::create(folder.join("outputs/errors")).unwrap())
        .kill_on_drop(true);
    unshare
}

/// The places that were reached, with the errors of their commands, and what programs in
/// the background have logged.
fn logs(outputs: &Path) -> String {
    let [errors, log] = ["errors", "log"].map(|name| fs::read_to_string(outputs.join(name)));
    let log = log.unwrap_or_default();
    format!(
        "{}\nthe log of what serves:\n{log}",
        errors.unwrap_or_default()
    )
}
