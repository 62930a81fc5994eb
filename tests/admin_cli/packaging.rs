//! Completions and man pages.

use std::fs;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::broker::{program, run};

#[tokio::test]
async fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let said = run(&mut program(["completions", shell])).await;
        assert_eq!((said.code, &*said.stderr), (0, ""), "{shell}");
        for word in ["check-config", "bridge-list-path", "dry-run", "token-file"] {
            assert!(said.stdout.contains(word), "{shell} does not know {word}");
        }
    }
    let said = run(&mut program(["completions", "csh"])).await;
    assert_eq!(said.code, 2);
}

#[tokio::test]
async fn bash_completes_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("snowflake-broker.bash");
    let said = run(&mut program(["completions", "bash"])).await;
    fs::write(&script, said.stdout).unwrap();
    let checked = run(Command::new("bash").arg("-n").arg(&script)).await;
    assert_eq!((checked.code, &*checked.stderr), (0, ""));
    let complete = format!(
        "source {}; COMP_WORDS=(snowflake-broker admin bri); COMP_CWORD=2; \
         [[ $(complete -p snowflake-broker) =~ -F\\ ([^\\ ]+) ]]; \
         \"${{BASH_REMATCH[1]}}\" snowflake-broker bri admin; echo \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let completed = run(Command::new("bash").args(["-c", &complete])).await;
    assert_eq!((&*completed.stdout, &*completed.stderr), ("bridges\n", ""));
}

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

/// groff has nothing to say against a page.
async fn check(page: &str) {
    assert!(page.contains(".TH "), "{page}");
    assert!(page.contains(".SH NAME"), "{page}");
    let mut groff = Command::new("groff");
    let groff = groff
        .args(["-man", "-Tutf8", "-ww", "-z"])
        .stdin(Stdio::piped());
    let groff = groff.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut groff = groff.expect("groff is missing: run tests/run once");
    let mut stdin = groff.stdin.take().unwrap();
    stdin.write_all(page.as_bytes()).await.unwrap();
    drop(stdin);
    let output = groff.wait_with_output().await.unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
