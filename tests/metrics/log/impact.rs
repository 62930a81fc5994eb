//! The impact log: a line each window, whatever happens to its file.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::Value;

use crate::log::program::{Folder, until};

const OFTEN: (&str, &str) = ("save_interval", "10ms");
const SHORT: (&str, &str) = ("metrics_interval", "1s");
/// No window ends during a test.
const LONG: (&str, &str) = ("metrics_interval", "1d");

fn file(folder: &Folder) -> PathBuf {
    folder.path("impact.jsonl")
}

fn text(folder: &Folder) -> String {
    fs::read_to_string(file(folder)).unwrap_or_default()
}

/// The complete lines.
fn lines(folder: &Folder) -> Vec<Value> {
    let text = text(folder);
    let lines = text.split_inclusive('\n');
    let whole = lines.filter_map(|line| line.strip_suffix('\n'));
    whole
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn until_lines(folder: &Folder, count: usize) {
    until("the lines are written", || lines(folder).len() >= count).await;
}

#[tokio::test]
async fn each_window_has_a_line() {
    let folder = Folder::new();
    let path = file(&folder);
    let settings = [OFTEN, SHORT, ("impact_log", path.to_str().unwrap())];
    let program = folder.start(&settings).await;
    until_lines(&folder, 2).await;
    let said = program.stop().await;
    assert!(!said.contains("impact_log"), "{said}");
    let lines = lines(&folder);
    let [first, second, ..] = &*lines else {
        panic!("{lines:?}")
    };
    assert_eq!(first["version"], 1);
    assert_eq!(first["end"], second["start"]);
    assert!(first.get("episodes").is_none(), "nobody came: {first}");
}

#[tokio::test]
async fn lines_for_a_full_disk_survive_a_restart() {
    let folder = Folder::new();
    let path = file(&folder);
    symlink("/dev/full", &path).unwrap();
    let impact_log = ("impact_log", path.to_str().unwrap());
    let program = folder.start(&[OFTEN, SHORT, impact_log]).await;
    let warning = "metrics.impact_log: cannot write ";
    until("it warns", || program.said().contains(warning)).await;
    program.kill().await;
    assert!(folder.log_text().contains("snowflake-stats-end"));
    let saved = fs::read_to_string(folder.window()).unwrap();
    assert!(saved.contains("unwritten_impact"), "{saved}");

    fs::remove_file(&path).unwrap();
    let program = folder.start(&[LONG, impact_log]).await;
    until_lines(&folder, 1).await;
    let said = program.stop().await;
    assert!(!said.contains("cannot write"), "{said}");
    let saved = fs::read_to_string(folder.window()).unwrap();
    assert!(!saved.contains("unwritten"), "{saved}");
    let written = lines(&folder).len();
    // They are not written again.
    folder.start(&[LONG, impact_log]).await.stop().await;
    assert_eq!(lines(&folder).len(), written);
}

#[tokio::test]
async fn half_a_line_is_removed_and_another_file_left_alone() {
    let folder = Folder::new();
    let path = file(&folder);
    let settings = [OFTEN, SHORT, ("impact_log", path.to_str().unwrap())];
    fs::write(&path, "{\"version\":1}\n{\"versi").unwrap();
    let program = folder.start(&settings).await;
    until_lines(&folder, 2).await;
    let said = program.stop().await;
    assert!(said.contains("removed an incomplete entry"), "{said}");

    fs::write(&path, "mine\n").unwrap();
    let program = folder.start(&settings).await;
    folder.until_blocks(folder.blocks().len() + 1).await;
    let said = program.stop().await;
    assert!(said.contains("is not an impact log"), "{said}");
    assert_eq!(text(&folder), "mine\n");
}
