//! The commands in docs/federation.md, unchanged: in namespaces in which `/run` and all
//! ports belong to the test.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use crate::program::FOREVER;

/// The language and the content of each block, in order.
fn blocks() -> Vec<(String, String)> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/federation.md");
    let document = fs::read_to_string(document).unwrap();
    let fenced: Vec<&str> = document.split("\n```").collect();
    let opened = fenced.chunks_exact(2).map(|pair| pair[1]);
    let blocks = opened.map(|block| {
        let (language, content) = block.split_once('\n').unwrap();
        (language.to_owned(), format!("{content}\n"))
    });
    blocks.collect()
}

/// Runs all commands, and writes the output of each block to a file.
fn script(blocks: &[(String, String)]) -> String {
    let mut script =
        String::from("set -euo pipefail\nmount -t tmpfs tmpfs /run\nip link set lo up\n");
    for (number, (language, content)) in blocks.iter().enumerate() {
        if language == "sh" {
            writeln!(script, "{{\n{content}}} > output{number}").unwrap();
        }
    }
    script
}

#[tokio::test]
async fn the_commands_do_what_is_printed() {
    let blocks = blocks();
    let folder = tempfile::tempdir().unwrap();
    let ours = Path::new(env!("CARGO_BIN_EXE_snowflake-broker"));
    let path = std::env::var_os("PATH").unwrap();
    let path = [ours.parent().unwrap().to_owned()]
        .into_iter()
        .chain(std::env::split_paths(&path));
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--map-root-user", "--mount", "--net", "--pid", "--fork"])
        .args(["--kill-child", "bash", "-c", &script(&blocks)])
        .current_dir(folder.path())
        .env("PATH", std::env::join_paths(path).unwrap())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(FOREVER, unshare.output())
        .await
        .expect("a command hangs")
        .unwrap();
    let logs = || ["a.log", "b.log"].map(|log| fs::read_to_string(folder.path().join(log)));
    assert!(
        output.status.success(),
        "{}{:?}",
        String::from_utf8_lossy(&output.stderr),
        logs()
    );
    let mut compared = 0;
    for pair in (0..).zip(&blocks).collect::<Vec<_>>().windows(2) {
        let [(number, (language, _)), (_, (printed_as, printed))] = pair else {
            continue;
        };
        if language == "sh" && printed_as != "sh" {
            let output = fs::read_to_string(folder.path().join(format!("output{number}")));
            assert_eq!(output.unwrap(), *printed);
            compared += 1;
        }
    }
    assert_eq!(compared, 3, "{blocks:?}");
}

#[test]
fn the_families_in_the_document_are_all_there_are() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/federation.md");
    let document = fs::read_to_string(document).unwrap();
    let families = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/metrics/families.rs");
    let families = fs::read_to_string(families).unwrap();
    let declared: Vec<&str> = families
        .split("\"snowflake_broker_peer_")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(declared.len(), 8);
    for name in declared {
        let row = format!("| `snowflake_broker_peer_{name}");
        assert!(document.contains(&row), "{name}");
    }
}
