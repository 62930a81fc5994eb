//! If nothing can be written, the broker continues to serve, warns and retries.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tokio::time::sleep;

use crate::log::program::{Folder, saved_idle, until};

const OFTEN: (&str, &str) = ("save_interval", "10ms");
/// No window ends during a test.
const LONG: (&str, &str) = ("metrics_interval", "1d");

#[tokio::test]
async fn blocks_for_a_full_disk_are_kept_and_written_later() {
    let folder = Folder::new();
    symlink("/dev/full", folder.log()).unwrap();
    let settings = [OFTEN, ("metrics_interval", "1s")];
    let program = folder.start(&settings).await;
    program.proxies(0..8).await;
    let warning = "metrics.log, and will try again";
    until("it warns", || program.said().contains(warning)).await;
    let reply = program.metrics("").await;
    assert_eq!((reply.status, &*reply.body), (200, ""));

    fs::remove_file(folder.log()).unwrap();
    folder.until_seen(8).await;
    let said = program.stop().await;
    assert_eq!(said.matches("will try again").count(), 1, "{said}");
    assert_eq!(folder.seen(), 8);
}

#[tokio::test]
async fn blocks_that_could_not_be_written_survive_a_restart() {
    let folder = Folder::new();
    symlink("/dev/full", folder.log()).unwrap();
    let program = folder.start(&[LONG]).await;
    program.proxies(0..8).await;
    program.stop().await;
    let program = folder.start(&[OFTEN, ("metrics_interval", "1ms")]).await;
    let warning = "will try again";
    until("the broker warns", || program.said().contains(warning)).await;
    program.kill().await;
    assert_eq!(saved_idle(&folder.window()), Some(0));

    fs::remove_file(folder.log()).unwrap();
    let program = folder.start(&[LONG]).await;
    folder.until_blocks(1).await;
    program.stop().await;
    let first = folder.blocks().remove(0);
    assert_eq!(first.count("snowflake-ips-total"), 8);
    let saved = fs::read_to_string(folder.window()).unwrap();
    assert!(!saved.contains("unwritten"), "{saved}");
}

#[tokio::test]
async fn a_state_that_cannot_be_saved_is_a_warning() {
    let folder = Folder::new();
    fs::create_dir_all(folder.window()).unwrap();
    fs::write(folder.window().join("file"), "").unwrap();
    // The name that the state would be set aside as is also taken.
    let aside = folder.path("state/metrics-window.json.damaged");
    fs::create_dir_all(aside.join("directory")).unwrap();
    let program = folder.start(&[OFTEN, ("metrics_interval", "1s")]).await;
    program.proxies(0..8).await;
    folder.until_seen(8).await;
    let said = program.stop().await;
    assert!(said.contains("cannot set "), "{said}");
    assert_eq!(said.matches("cannot save").count(), 1, "{said}");
    assert_eq!(folder.seen(), 8);
}

#[tokio::test]
async fn recordings_that_cannot_be_written_are_kept() {
    let folder = Folder::new();
    let file = folder.path("ips-webext_open.jsonl");
    symlink("/dev/full", &file).unwrap();
    let prefix = folder.path("ips-");
    let settings = [
        ("ip_count_prefix", prefix.to_str().unwrap()),
        ("ip_count_interval", "50ms"),
        OFTEN,
    ];
    let program = folder.start(&settings).await;
    program.proxies(0..8).await;
    let warning = "ips-webext_open.jsonl, and will try again";
    until("the broker warns", || program.said().contains(warning)).await;
    fs::remove_file(&file).unwrap();
    until("the line is written", || file.exists()).await;
    let said = program.stop().await;
    assert_eq!(said.matches("cannot write").count(), 1, "{said}");
    let output = crate::log::program::run(&["count-ips", file.to_str().unwrap()]).await;
    assert_eq!(output.stdout, b"8\n");
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_said_at_the_start() {
    let folder = Folder::new();
    fs::create_dir(folder.log()).unwrap();
    let program = folder.start(&[LONG]).await;
    let said = program.stop().await;
    let warning = format!(
        "metrics.metrics_log: cannot write {}",
        folder.log().display()
    );
    assert!(said.contains(&warning), "{said}");
}

#[tokio::test]
async fn a_file_that_is_something_else_is_left_alone() {
    let folder = Folder::new();
    fs::write(folder.log(), "no metrics\nhere").unwrap();
    let program = folder.start(&[OFTEN, ("metrics_interval", "10ms")]).await;
    program.proxies(0..8).await;
    assert_eq!(program.metrics("").await.status, 404);
    let said = program.stop().await;
    assert!(said.contains("is not a metrics log"), "{said}");
    assert_eq!(folder.log_text(), "no metrics\nhere");
}

#[tokio::test]
async fn two_brokers_do_not_write_the_same_files() {
    let folder = Folder::new();
    let program = folder.start(&[LONG]).await;
    let other_state = folder.path("other-state");
    let other_state = ("state_directory", other_state.to_str().unwrap());
    for (settings, shared) in [
        (
            &[LONG][..],
            format!(
                "metrics.state_directory: {}",
                folder.path("state").display()
            ),
        ),
        (
            &[LONG, other_state][..],
            format!("metrics.metrics_log: {}", folder.log().display()),
        ),
    ] {
        let (code, line) = folder.fail(settings).await;
        assert_eq!(code, Some(1), "{line}");
        let who = format!(
            "{shared} is in use by process {} (snowflake-broke",
            program.id()
        );
        assert!(line.starts_with(&who), "{line}");
        assert!(folder.check_config(settings).await);
    }
    // Nothing remains of a broker that was killed.
    program.kill().await;
    folder.start(&[LONG]).await.stop().await;
}

/// Both clocks must be read at the same time, not one before and one after a wait.
#[tokio::test]
async fn a_start_that_has_to_wait_sets_no_clock() {
    let folder = Folder::new();
    fs::create_dir(folder.path("state")).unwrap();
    let state = fs::File::open(folder.path("state")).unwrap();
    flock(&state, FlockOperation::NonBlockingLockExclusive).unwrap();
    let another_stops = async {
        sleep(Duration::from_millis(1_500)).await;
        drop(state);
    };
    let (program, ()) = tokio::join!(folder.start(&[LONG]), another_stops);
    let said = program.stop().await;
    assert!(!said.contains("the clock was set"), "{said}");
}

#[tokio::test]
async fn a_state_that_is_a_pipe_is_set_aside() {
    let folder = Folder::new();
    fs::create_dir(folder.path("state")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(folder.window())
        .status();
    assert!(made.unwrap().success());
    let program = folder.start(&[LONG]).await;
    let said = program.stop().await;
    assert!(said.contains(" aside and lost its counts"), "{said}");
    assert!(
        said.contains("must be a regular file, not a named pipe"),
        "{said}"
    );
    assert_eq!(saved_idle(&folder.window()), Some(0));
}

#[tokio::test]
async fn a_log_that_is_a_pipe_without_a_reader_is_not_waited_for() {
    let folder = Folder::new();
    let made = std::process::Command::new("mkfifo")
        .arg(folder.log())
        .status();
    assert!(made.unwrap().success());
    let program = folder.start(&[LONG]).await;
    let said = program.stop().await;
    assert!(said.contains("metrics.log, and will try again"), "{said}");
}
