//! The files of `ip_count_prefix`, and `count-ips`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::log::program::{Folder, run, until};

/// Runs `count-ips`, which must succeed. Returns its output.
async fn count(arguments: &[&str]) -> String {
    let output = run(&[&["count-ips"], arguments].concat()).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `count-ips`, which must fail. Returns its error.
async fn refused(arguments: &[&str]) -> String {
    let output = run(&[&["count-ips"], arguments].concat()).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

/// Runs `count-ips`. Returns its output and its warnings.
async fn counted(arguments: &[&str]) -> (String, String) {
    let output = run(&[&["count-ips"], arguments].concat()).await;
    assert!(output.status.success(), "{output:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

/// A line of a file for this period.
fn recording(start: &str, end: &str) -> String {
    let line = serde_json::json!({
        "recordingStart": start, "recordingEnd": end, "recorded": "s17.9:HRmS",
    });
    format!("{line}\n")
}

#[tokio::test]
async fn a_day_is_all_of_it_and_a_time_without_an_offset_is_in_utc() {
    let folder = Folder::new();
    let file = folder.path("one.jsonl");
    let period = recording("2026-10-01T00:00:00Z", "2026-10-02T00:00:00Z");
    fs::write(&file, period).unwrap();
    let file = file.to_str().unwrap();
    for range in [
        ["--from", "2026-10-01", "--to", "2026-10-01"],
        ["--from", "2026-10-01T00:00", "--to", "2026-10-02 00:00:00"],
        ["--from", "2026-10-01T02:00:00+02:00", "--to", "2026-10-01"],
    ] {
        let said = counted(&[&[file][..], &range].concat()).await;
        assert_eq!(said, ("1\n".to_owned(), String::new()), "{range:?}");
    }
    let (count, _) = counted(&[file, "--from", "2026-10-01T00:00:01Z"]).await;
    assert_eq!(count, "0\n");
}

#[tokio::test]
async fn what_selects_nothing_says_what_there_is() {
    let folder = Folder::new();
    let (empty, one) = (folder.path("empty.jsonl"), folder.path("one.jsonl"));
    fs::write(&empty, "\n").unwrap();
    let lines = [
        recording("2026-10-01T06:00:00.25Z", "2026-10-01T07:00:00Z"),
        recording("2026-10-01T07:00:00Z", "2026-10-01T08:00:00.75Z"),
    ];
    fs::write(&one, lines.concat()).unwrap();
    let (empty, one) = (empty.to_str().unwrap(), one.to_str().unwrap());

    let (count, warning) = counted(&[one, empty, "--to", "2026-09-30"]).await;
    assert_eq!(count, "0\n");
    assert_eq!(
        warning,
        "warning: no period lies wholly in the range: of 2, the first begins at \
         2026-10-01T06:00:00Z and the last ends at 2026-10-01T08:00:00Z\n"
    );
    let (count, warning) = counted(&[empty]).await;
    assert_eq!(count, "0\n");
    assert_eq!(warning, "warning: these files have no periods in them\n");
    assert_eq!(counted(&[one]).await, ("1\n".to_owned(), String::new()));

    let said = refused(&[one, "--from", "2026-10-02", "--to", "2026-10-01"]).await;
    assert_eq!(said, "--from: must be before --to\n");
}

/// The start and end of each line.
fn periods(path: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(path).unwrap();
    let period = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let time = |key: &str| line[key].as_str().unwrap().to_owned();
        (time("recordingStart"), time("recordingEnd"))
    };
    text.lines().map(period).collect()
}

#[tokio::test]
async fn periods_end_at_exit_and_are_merged() {
    let folder = Folder::new();
    let prefix = folder.path("ips-");
    let settings = [("ip_count_prefix", prefix.to_str().unwrap())];
    let file = folder.path("ips-webext_open.jsonl");
    for addresses in [0..20, 10..30] {
        let program = folder.start(&settings).await;
        program.proxies(addresses).await;
        program.stop().await;
    }
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let periods = periods(&file);
    assert_eq!(periods.len(), 2);
    assert!(periods[0].1 <= periods[1].0, "{periods:?}");

    let file = file.to_str().unwrap();
    let ((_, first_end), (second_start, _)) = (&periods[0], &periods[1]);
    assert_eq!(count(&[file]).await, "30\n");
    assert_eq!(count(&[file, file]).await, "30\n");
    assert_eq!(count(&[file, "--to", first_end]).await, "20\n");
    assert_eq!(count(&[file, "-from", second_start]).await, "20\n");
    assert_eq!(count(&["-from=2100-01-01T00:00:00Z", file]).await, "0\n");
}

#[tokio::test]
async fn a_period_ends_after_its_interval() {
    let folder = Folder::new();
    // The prefix may also be a directory.
    let prefix = format!("{}/", folder.path("").to_str().unwrap());
    let settings = [("ip_count_prefix", &*prefix), ("ip_count_interval", "50ms")];
    let file = folder.path("webext_open.jsonl");
    let program = folder.start(&settings).await;
    for lines in 1..=3 {
        program.proxies(0..9).await;
        until("the line is written", || {
            fs::read_to_string(&file).is_ok_and(|text| text.matches('\n').count() >= lines)
        })
        .await;
    }
    program.kill().await;
    let periods = periods(&file);
    let in_order = periods.windows(2).all(|pair| pair[0].1 <= pair[1].0);
    assert!(in_order, "{periods:?}");
    assert_eq!(count(&[file.to_str().unwrap()]).await, "9\n");
}

#[tokio::test]
async fn half_a_line_is_removed_before_the_next() {
    let folder = Folder::new();
    let prefix = folder.path("ips-");
    let file = folder.path("ips-webext_open.jsonl");
    fs::write(&file, "{\"recordingStart\":\"20").unwrap();
    let said = refused(&[file.to_str().unwrap()]).await;
    let culprit = "ips-webext_open.jsonl: line 1, column 21: EOF while parsing a string\n";
    assert!(said.ends_with(culprit), "{said}");

    let program = folder
        .start(&[("ip_count_prefix", prefix.to_str().unwrap())])
        .await;
    program.proxies(0..3).await;
    program.stop().await;
    assert_eq!(count(&[file.to_str().unwrap()]).await, "3\n");
}

#[tokio::test]
async fn wrong_input_is_named() {
    let said = refused(&["/nowhere/file"]).await;
    assert_eq!(said, "/nowhere/file: no such file or directory\n");
    let said = refused(&["/dev/null", "--from", "yesterday"]).await;
    assert!(said.contains("--from"), "{said}");
    let said = refused(&[]).await;
    assert!(said.contains("FILE"), "{said}");
}
