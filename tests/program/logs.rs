//! The style of the log for different readers.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::NamedTempFile;

use crate::{Program, command};

/// The log from start to stop, with these environment variables.
async fn log(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let program = Program::start_with(|addr| {
        let mut command = command(addr, arguments);
        command.arg("--disable-geoip");
        command.envs(variables.iter().copied());
        command
    })
    .await;
    // It is reached a moment before it says so.
    program.until_logged("serving clients and proxies").await;
    program.request("POST /proxy", "", "rubbish").await;
    program.signal(Signal::TERM, "stopping").await;
    let (status, log) = program.end().await;
    assert!(status.success(), "{status}\n{log}");
    log
}

#[tokio::test]
async fn json_lines_are_objects_with_level_target_and_message() {
    let log = log(&[], &[("SNOWFLAKE_BROKER_TELEMETRY__LOG_FORMAT", "json")]).await;
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &lines {
        assert!(line["timestamp"].is_string(), "{line}");
        assert!(line["level"].is_string(), "{line}");
        let target = line["target"].as_str().unwrap();
        assert!(target.starts_with("snowflake_broker"), "{line}");
    }
    let messages: Vec<&str> = lines
        .iter()
        .map(|line| &line["fields"]["message"])
        .map(|text| text.as_str().unwrap())
        .collect();
    assert_eq!(messages[0], "serving clients and proxies");
    assert!(messages[1].starts_with("refused a proxy's poll: "));
    assert_eq!(messages[2..], ["stopping", "stopped"]);
}

#[tokio::test]
async fn one_line_at_the_start_says_where_and_with_what_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let socket = folder.path().join("admin.sock");
    fs::write(&file, format!("[admin]\nlisten = {socket:?}\n")).unwrap();
    let program = Program::start(&["--config", file.to_str().unwrap()]).await;
    program.until_logged("serving clients and proxies").await;
    let log = program.log();
    let line = log.lines().next().unwrap();
    for field in [
        format!("listen=\"{}\"", program.addr),
        "tls=\"off\"".to_owned(),
        "bridges=1".to_owned(),
        format!("admin=\"{}\"", socket.display()),
        format!("operator=\"{}\"", program.operator),
        format!("config=\"{}\"", file.display()),
        "countries=\"off\"".to_owned(),
    ] {
        assert!(line.contains(&field), "{field}: {line}");
    }
    assert_eq!(log.lines().count(), 1, "{log}");
}

/// An operator who mistakenly forwards to https:// is told so, and cannot fill the log.
#[tokio::test]
async fn tls_on_a_port_in_the_clear_is_told_once() {
    let program = Program::start(&["--disable-geoip"]).await;
    let told = "received TLS on a port that is served without it";
    for _ in 0..5 {
        let hello = [22, 3, 1, 0, 5, 1, 0, 0, 1, 3];
        let reply = program.exchange(&hello).await;
        assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
        program.until_logged(told).await;
    }
    assert_eq!(program.log().matches(told).count(), 1, "{}", program.log());
}

#[tokio::test]
async fn plain_lines_have_time_and_level_and_no_colours() {
    let log = log(&[], &[]).await;
    for line in log.lines() {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{line}");
        assert!(rest.trim_start().starts_with("INFO "), "{line}");
        assert!(!line.contains('\u{1b}'), "{line}");
    }
    assert_eq!(log.lines().count(), 4, "{log}");
}

/// The journal removes the `<6>` and adds the time. Only a variable that identifies
/// stderr itself shows that the journal reads it: every shell in a desktop session has
/// the variable.
#[tokio::test]
async fn the_journal_gets_priorities_and_only_the_journal() {
    for format in ["text", "json"] {
        let log = journal_log(format, |device, inode| format!("{device}:{inode}")).await;
        for line in log.lines() {
            assert!(line.starts_with("<6>"), "{line}");
            assert!(
                !line.contains("timestamp") && !line.starts_with("<6>20"),
                "{line}"
            );
        }
        for other in ["", "8:12345"] {
            let log = journal_log(format, |_, _| other.to_owned()).await;
            assert!(!log.contains("<6>"), "{log}");
        }
    }
}

async fn journal_log(format: &str, stream: impl Fn(u64, u64) -> String) -> String {
    let log = NamedTempFile::new().unwrap();
    let file = fs::metadata(log.path()).unwrap();
    let stream = stream(file.dev(), file.ino());
    let program = Program::start_logging_to(log, |addr| {
        let mut command = command(addr, &["--disable-geoip"]);
        command.env("JOURNAL_STREAM", &stream);
        command.env("SNOWFLAKE_BROKER_TELEMETRY__LOG_FORMAT", format);
        command
    })
    .await;
    program.signal(Signal::TERM, "stopping").await;
    program.end().await.1
}

/// Even if no further line of the kind follows.
#[tokio::test]
async fn lines_that_were_left_out_are_told_of() {
    let program = Program::start(&[]).await;
    for _ in 0..13 {
        program.request("POST /client", "", "rubbish").await;
    }
    program.signal(Signal::TERM, "stopping").await;
    let (_, log) = program.end().await;
    let lines = log.matches("refused a client's poll: ").count();
    assert_eq!(lines, 10, "{log}");
    let told = "similar lines were left out: refused polls of clients suppressed=3";
    assert!(log.contains(told), "{log}");
}
