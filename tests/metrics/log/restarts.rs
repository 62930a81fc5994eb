//! The window continues in the next process. If its length has passed at a start, it ends
//! and its block is written at once.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::log::program::{Folder, saved_idle, until};
use crate::support::stats_log::Block;

/// Windows that do not end during a test, and no saves between start and exit.
const LONG: [(&str, &str); 2] = [("metrics_interval", "1d"), ("save_interval", "1d")];

/// Ends the saved window: a short start writes its block at once.
async fn end_window(folder: &Folder) -> Block {
    let before = folder.blocks().len();
    let program = folder
        .start(&[("metrics_interval", "1ms"), ("save_interval", "1d")])
        .await;
    folder.until_blocks(before + 1).await;
    program.kill().await;
    folder.blocks().swap_remove(before)
}

#[tokio::test]
async fn counts_add_up_over_a_restart() {
    let folder = Folder::new();
    let program = folder.start(&LONG).await;
    program.proxies(0..16).await;
    program.stop().await;
    let program = folder.start(&LONG).await;
    program.proxies(8..24).await;
    program.stop().await;
    assert_eq!(saved_idle(&folder.window()), Some(32));
    assert!(folder.blocks().is_empty());

    let block = end_window(&folder).await;
    assert_eq!(block.count("snowflake-idle-count"), 32);
    assert_eq!(block.count("snowflake-ips-total"), 24);
    assert_eq!(block.count("snowflake-ips-webext"), 24);
    assert_eq!(block.count("snowflake-ips-nat-open"), 24);
    assert_eq!(block.list("snowflake-ips"), [("??".to_owned(), 24)]);
}

#[tokio::test]
async fn polls_that_end_while_it_stops_are_saved() {
    let folder = Folder::new();
    let settings = [&LONG[..], &[("matching.proxy_timeout", "1h")]].concat();
    let program = folder.start(&settings).await;
    let parked = program.park_proxy(1).await;
    program.stop().await;
    parked.await.unwrap();
    assert_eq!(saved_idle(&folder.window()), Some(1));
}

#[tokio::test]
async fn a_crash_loses_what_came_since_the_last_save() {
    let folder = Folder::new();
    let program = folder.start(&LONG).await;
    program.proxies(0..8).await;
    program.stop().await;
    let file = || fs::metadata(folder.window()).unwrap().ino();
    let before = file();
    let program = folder.start(&LONG).await;
    until("the state is saved at the start", || file() != before).await;
    program.proxies(100..116).await;
    program.kill().await;
    assert_eq!(saved_idle(&folder.window()), Some(8));

    // Every save counts, not only the one at exit.
    let program = folder
        .start(&[("metrics_interval", "1d"), ("save_interval", "10ms")])
        .await;
    program.proxies(200..208).await;
    until("the state is saved", || {
        saved_idle(&folder.window()) == Some(16)
    })
    .await;
    program.kill().await;
    let block = end_window(&folder).await;
    assert_eq!(block.count("snowflake-idle-count"), 16);
    assert_eq!(block.count("snowflake-ips-total"), 16);
}

/// The names of the files in the state directory.
fn state_files(folder: &Folder) -> BTreeSet<String> {
    let files = fs::read_dir(folder.path("state")).unwrap();
    let name = |file: fs::DirEntry| file.file_name().into_string().unwrap();
    files.map(|file| name(file.unwrap())).collect()
}

fn named<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[tokio::test]
async fn what_is_saved_is_private_and_holds_no_address() {
    let folder = Folder::new();
    let program = folder.start(&LONG).await;
    program.proxies(7..8).await;
    program.stop().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path("state")), 0o700);
    let files = ["history.json", "metrics-window.json", "outcomes.json"];
    assert_eq!(state_files(&folder), named(files));
    for file in files {
        let file = folder.path("state").join(file);
        assert_eq!(mode(&file), 0o600);
        let saved = fs::read_to_string(file).unwrap();
        assert!(!saved.contains("1.2.3."), "{saved}");
    }
}

#[tokio::test]
async fn saved_outcomes_are_continued_or_set_aside() {
    let folder = Folder::new();
    let file = folder.path("state/outcomes.json");
    folder.start(&LONG).await.stop().await;
    let kind = |worked| {
        format!(
            "{{\"proxy_type\":\"webext\",\"proxy\":\"open\",\"client\":\"strict\",\
             \"country\":\"RU\",\"worked\":{worked},\"failed\":16.0}}"
        )
    };
    // So far in the future that nothing is forgotten.
    let saved = format!(
        "{{\"version\":1,\"saved\":99999999999,\"kinds\":[{}]}}\n",
        kind("40.0")
    );
    fs::write(&file, &saved).unwrap();
    folder.start(&LONG).await.stop().await;
    let continued = fs::read_to_string(&file).unwrap();
    assert!(continued.contains(&kind("40.0")), "{continued}");
    fs::write(&file, "rubbish").unwrap();
    let said = folder.start(&LONG).await.stop().await;
    assert!(said.contains("outcomes.json aside"), "{said}");
    assert!(state_files(&folder).contains("outcomes.json.damaged"));
}

#[tokio::test]
async fn a_block_says_how_long_its_window_really_was() {
    let folder = Folder::new();
    folder.start(&LONG).await.stop().await;
    let saved = fs::read_to_string(folder.window()).unwrap();
    let (before, rest) = saved.split_once("\"window_start\":\"").unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    let old = format!("{before}\"window_start\":\"2026-10-01T00:00:00Z\"{after}");
    fs::write(folder.window(), old).unwrap();

    let program = folder.start(&LONG).await;
    folder.until_blocks(1).await;
    program.stop().await;
    let block = folder.blocks().remove(0);
    let end: jiff::civil::DateTime = block.end.replace(' ', "T").parse().unwrap();
    let start = jiff::civil::date(2026, 10, 1).at(0, 0, 0, 0);
    let seconds = end.duration_since(start).as_secs();
    assert_eq!(i64::try_from(block.seconds).unwrap(), seconds);
}

#[tokio::test]
async fn a_window_that_cannot_be_read_is_set_aside() {
    let folder = Folder::new();
    let aside = folder.path("state/metrics-window.json.damaged");
    folder.start(&LONG).await.stop().await;
    let whole = fs::read_to_string(folder.window()).unwrap();
    for damaged in [
        "rubbish".to_owned(),
        String::new(),
        whole[..whole.len() / 2].to_owned(),
        whole.replace("\"version\":1", "\"version\":2"),
    ] {
        fs::write(folder.window(), &damaged).unwrap();
        let program = folder.start(&LONG).await;
        program.proxies(0..8).await;
        let said = program.stop().await;
        assert!(said.contains(" aside and lost its counts"), "{said}");
        assert_eq!(fs::read_to_string(&aside).unwrap(), damaged);
        assert_eq!(saved_idle(&folder.window()), Some(8));
        let window = "metrics-window.json";
        let files = [
            "history.json",
            window,
            "metrics-window.json.damaged",
            "outcomes.json",
        ];
        assert_eq!(state_files(&folder), named(files));
    }
    end_window(&folder).await;
    assert!(!aside.exists());
}

#[tokio::test]
async fn a_block_that_was_written_before_a_crash_is_not_written_again() {
    let folder = Folder::new();
    let program = folder.start(&LONG).await;
    program.proxies(0..8).await;
    program.stop().await;
    end_window(&folder).await;
    let log = folder.log_text();
    let saved = fs::read_to_string(folder.window()).unwrap();
    let mut state: serde_json::Value = serde_json::from_str(&saved).unwrap();
    let lost = log
        .replace("snowflake-idle-count 8", "snowflake-idle-count 16")
        .lines()
        .take(33)
        .collect::<Vec<_>>()
        .join("\n")
        + "\n";
    state["window"]["unwritten"] = serde_json::json!([&log[..lost.len() - 1], lost]);
    fs::write(folder.window(), state.to_string()).unwrap();

    let expected = format!("{log}{lost}");
    let program = folder.start(&LONG).await;
    until("the other block is written", || {
        folder.log_text() == expected
    })
    .await;
    program.stop().await;
    assert_eq!(folder.log_text(), expected);
}

#[tokio::test]
async fn a_window_that_is_in_the_log_is_not_counted_again() {
    let folder = Folder::new();
    let program = folder.start(&LONG).await;
    program.proxies(0..8).await;
    program.stop().await;
    let stale = fs::read(folder.window()).unwrap();
    // Waits a second, because the block gives the start of its window in whole seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    end_window(&folder).await;
    fs::write(folder.window(), stale).unwrap();

    let program = folder.start(&LONG).await;
    program.proxies(0..16).await;
    let said = program.stop().await;
    assert!(said.contains("is in the metrics log already"), "{said}");
    assert_eq!(saved_idle(&folder.window()), Some(16));
}
