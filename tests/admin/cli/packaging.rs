//! Man pages.

use std::fs;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::cli::broker::{program, run};

#[tokio::test]
async fn there_is_a_man_page_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let mut pages = program(["man"]);
    let said = run(pages.arg(folder.path())).await;
    assert_eq!((said.code, &*said.stderr), (0, ""));
    let mut names = Vec::new();
    for page in fs::read_dir(folder.path()).unwrap() {
        let page = page.unwrap();
        names.push(page.file_name().into_string().unwrap());
        check(&fs::read_to_string(page.path()).unwrap()).await;
    }
    for name in [
        "",
        "-check-config",
        "-admin",
        "-admin-status",
        "-admin-bridges-set",
    ] {
        let name = format!("snowflake-broker{name}.1");
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let main = run(&mut program(["man"])).await.stdout;
    let written = fs::read_to_string(folder.path().join("snowflake-broker.1")).unwrap();
    assert_eq!(main, written);
    assert!(main.contains(r"\-\-bridge\-list\-path"), "{main}");
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_named() {
    let said = run(&mut program(["man", "/nowhere"])).await;
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("/nowhere"), "{}", said.stderr);
}

/// Checks that groff reports nothing about a page.
async fn check(page: &str) {
    assert!(page.contains(".TH "), "{page}");
    assert!(page.contains(".SH NAME"), "{page}");
    let mut groff = Command::new("groff");
    let groff = groff
        .args(["-man", "-Tutf8", "-ww", "-z"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut groff = groff.expect("groff is missing: run tests/run once");
    let mut stdin = groff.stdin.take().unwrap();
    stdin.write_all(page.as_bytes()).await.unwrap();
    drop(stdin);
    let output = groff.wait_with_output().await.unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
