//! Reloads by SIGHUP, which change nothing if there is an error.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::json;
use tokio::time::timeout;

use crate::countries::Databases;
use crate::support::messages::{client_poll, proxy_answer, proxy_poll};
use crate::{FOREVER, Program, result};

#[tokio::test]
async fn sighup_reads_the_bridges_again_and_a_bad_list_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bridges = folder.path().join("bridges.json");
    write_bridge(&bridges, "wss://before.example/");
    let program = Program::start(&["-bridge-list-path", bridges.to_str().unwrap()]).await;
    assert_eq!(relay_url(&program).await, "wss://before.example/");

    write_bridge(&bridges, "wss://after.example/");
    program.signal(Signal::HUP, "configuration reloaded").await;
    assert_eq!(relay_url(&program).await, "wss://after.example/");

    fs::write(&bridges, "rubbish").unwrap();
    let culprit = "nothing reloaded: broker.bridge_list_path";
    program.signal(Signal::HUP, culprit).await;
    assert_eq!(relay_url(&program).await, "wss://after.example/");
}

#[tokio::test]
async fn a_reload_says_what_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (file, bridges) = (path("config.toml"), path("bridges"));
    write_bridge(&bridges, "wss://before.example/");
    let config = format!("[broker]\nbridge_list_path = {bridges:?}\n");
    fs::write(&file, &config).unwrap();
    let program = Program::start(&["--config", file.to_str().unwrap()]).await;
    let nothing = "configuration reloaded, nothing has changed bridges=1";
    program.signal(Signal::HUP, nothing).await;
    write_bridge(&bridges, "wss://after.example/");
    let of_file = "reloaded changes=\"the file of broker.bridge_list_path\" bridges=1";
    program.signal(Signal::HUP, of_file).await;
    fs::write(&file, config + "[limits]\nexempt = [\"192.0.2.0/24\"]\n").unwrap();
    let of_key = "reloaded changes=\"limits.exempt\" bridges=1";
    program.signal(Signal::HUP, of_key).await;
}

#[tokio::test]
async fn sighup_reads_the_configuration_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    fs::write(&file, "[telemetry]\nlog_level = \"warn\"\n").unwrap();
    let program = Program::start(&["-config", file.to_str().unwrap()]).await;
    let pattern = json!({
        "Sid": "a", "Version": "1.0", "AcceptedRelayPattern": "^elsewhere.example$",
    });
    let refused = program.start_post("/proxy", pattern.to_string()).await;
    assert_eq!(result(refused).await["Status"], "incorrect relay pattern");

    let changed = "[telemetry]\nlog_level = \"info\"\n[http]\ntrusted_hops = 2\n\
                   [broker]\nallowed_relay_pattern = \"^elsewhere.example$\"\n";
    fs::write(&file, changed).unwrap();
    program.signal(Signal::HUP, "configuration reloaded").await;
    let log = program.log();
    assert!(
        log.contains("some changes wait for a restart keys=\"http.trusted_hops\""),
        "{log}"
    );
    let accepted = program.start_post("/proxy", pattern.to_string()).await;
    let refused =
        "\nsnowflake_broker_refusals_total{request=\"proxy_poll\",reason=\"pattern\"} 1\n";
    assert!(program.metrics().await.contains(refused));
    assert!(!accepted.is_finished());

    fs::write(&file, "[telemetry]\nlog_level = \"loud\"\n[brokers]\n").unwrap();
    program.signal(Signal::HUP, "nothing reloaded: ").await;
    let log = program.log();
    assert!(log.contains("loud") && log.contains("brokers"), "{log}");
}

/// A client is denied at once, instead of waiting.
#[tokio::test]
async fn sighup_changes_the_patience_of_the_matching_engine() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    fs::write(&file, "[matching]\nclient_queue_wait = \"4s\"\n").unwrap();
    let program = Program::start(&["-config", file.to_str().unwrap()]).await;
    let queued = program
        .start_post("/client", client_poll("x", "open"))
        .await;
    fs::write(&file, "[matching]\nclient_queue_wait = \"0s\"\n").unwrap();
    program.signal(Signal::HUP, "configuration reloaded").await;
    let denied = program
        .start_post("/client", client_poll("y", "open"))
        .await;
    let no_proxy = json!({"error": "no snowflake proxies currently available"});
    assert_eq!(result(denied).await, no_proxy);
    assert!(!queued.is_finished());
    assert!(!program.log().contains("wait for a restart"));
}

#[tokio::test]
async fn everything_that_is_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (bridges, intervals, file) = (path("bridges"), path("intervals"), path("config.toml"));
    write_bridge(Path::new(&bridges), "wss://before.example/");
    fs::write(&intervals, "{}").unwrap();
    fs::write(&file, "").unwrap();
    let program = Program::start(&[
        "-bridge-list-path",
        &bridges,
        "-poll-interval-filepath",
        &intervals,
        "-config",
        &file,
    ])
    .await;
    fs::write(&bridges, "rubbish").unwrap();
    fs::write(&intervals, "{\"open_poll_interval\": -1}").unwrap();
    fs::write(&file, "[telemetry]\nlog_level = \"off\"\n").unwrap();
    program.signal(Signal::HUP, "nothing reloaded: ").await;
    let log = program.log();
    let line = log.lines().find(|line| line.contains("nothing")).unwrap();
    assert!(line.contains("broker.bridge_list_path: "), "{line}");
    assert!(line.contains("poll_interval.filepath: "), "{line}");
    // Not even the log level, which was valid.
    assert_eq!(relay_url(&program).await, "wss://before.example/");
    fs::remove_file(&bridges).unwrap();
    program.signal(Signal::HUP, "no such file").await;
}

#[tokio::test]
async fn sighup_reads_the_poll_intervals_again_and_their_mode() {
    let folder = tempfile::tempdir().unwrap();
    let (config, intervals) = (folder.path().join("c.toml"), folder.path().join("i.json"));
    let configure = |poll_interval: &str| {
        let poll_interval = format!("[poll_interval]\nfilepath = {intervals:?}\n{poll_interval}");
        let matching = "[matching]\nproxy_timeout = \"10ms\"\n";
        fs::write(&config, format!("{matching}{poll_interval}")).unwrap();
    };
    configure("");
    fs::write(&intervals, r#"{"unrestricted_poll_interval":1000}"#).unwrap();
    let program = Program::start(&["-config", config.to_str().unwrap()]).await;
    assert_eq!(next_poll(&program).await, 1000);

    fs::write(&intervals, r#"{"open_poll_interval":2000}"#).unwrap();
    program.signal(Signal::HUP, "configuration reloaded").await;
    assert_eq!(next_poll(&program).await, 2000);

    fs::write(&intervals, r#"{"open_poll_interval":-1}"#).unwrap();
    let culprit = "nothing reloaded: poll_interval.filepath";
    program.signal(Signal::HUP, culprit).await;
    assert_eq!(next_poll(&program).await, 2000);

    // An unknown key from a future release does not prevent reading the others.
    fs::write(&intervals, r#"{"open_poll_interval":3000,"next":1}"#).unwrap();
    program
        .signal(Signal::HUP, "unknown key \"next\", is ignored")
        .await;
    assert_eq!(next_poll(&program).await, 3000);

    configure("mode = \"adaptive\"\nfloor = \"30s\"\nceiling = \"30s\"\n");
    fs::write(&intervals, "{}").unwrap();
    program.send(Signal::HUP);
    let is_adaptive = timeout(FOREVER, async {
        while next_poll(&program).await < 27_000 {}
    });
    is_adaptive.await.expect("the mode stays");
    assert!(next_poll(&program).await <= 33_000);
}

async fn next_poll(program: &Program) -> u64 {
    let poll = program.start_post("/proxy", proxy_poll("a", "open")).await;
    result(poll).await["NextPoll"].as_u64().unwrap()
}

fn write_bridge(path: &Path, url: &str) {
    let bridge = json!({
        "displayName": "default", "webSocketAddress": url,
        "fingerprint": "2B280B23E1107BB62ABFC40DDCC8824814F80A72",
    });
    fs::write(path, format!("{bridge}\n")).unwrap();
}

/// The relay that a proxy is sent to; the client of the match gets its answer.
pub(crate) async fn relay_url(program: &Program) -> String {
    let poll = program.start_post("/proxy", proxy_poll("a", "open")).await;
    let client = program
        .start_post("/client", client_poll("x", "open"))
        .await;
    let poll = result(poll).await;
    let answered = program.start_post("/answer", proxy_answer("a", "hi")).await;
    result(answered).await;
    result(client).await;
    poll["RelayURL"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_reload_that_takes_long_delays_neither_requests_nor_the_end() {
    let databases = Databases::new("FR");
    let program = databases.start().await;
    let _holder = databases.make_ipv4_wait().await;
    program.send(Signal::HUP);
    assert_eq!(relay_url(&program).await, "wss://snowflake.torproject.net/");
    program.signal(Signal::TERM, "stopping").await;
    let (status, log) = program.end().await;
    assert!(status.success(), "{status}\n{log}");
    assert!(!log.contains("reloaded"), "{log}");
}
