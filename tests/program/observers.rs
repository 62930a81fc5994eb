//! Failures of observers never stop the broker: it warns, and so does the check.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

use crate::reload::relay_url;
use crate::{Program, command, free_address};

/// A broker with these arguments and variables, without any privileges.
fn unprivileged(command: &Command) -> Command {
    let command = command.as_std();
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--user", "--"])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for (name, value) in command.get_envs() {
        unshare.env(name, value.unwrap());
    }
    unshare
}

/// Expects this warning at the start and in the check, and that the broker serves.
async fn expect_warning(arguments: &[&str], variables: &[(&str, &str)], warning: &str) -> Program {
    let configured = |addr| {
        let mut command = command(addr, arguments);
        command.envs(variables.iter().copied());
        command
    };
    let mut check = configured(free_address());
    check.args(["check-config", "--disable-tls"]);
    let checked = unprivileged(&check)
        .stdout(Stdio::piped())
        .output()
        .await
        .expect("unshare is missing: run tests/run once");
    let said = String::from_utf8(checked.stderr).unwrap();
    assert_eq!(checked.stdout, b"ok\n", "{warning}: {said}");
    let is_it = |line: &str| line.starts_with("warning: ") && line.contains(warning);
    assert!(said.lines().any(is_it), "{warning}: {said}");

    let program = Program::start_with(|addr| unprivileged(&configured(addr))).await;
    program.until_logged(warning).await;
    assert_eq!(relay_url(&program).await, "wss://snowflake.torproject.net/");
    program
}

#[tokio::test]
async fn files_of_counts() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    fs::write(&text, "no metrics\n").unwrap();
    let text = text.to_str().unwrap();
    let foreign = expect_warning(
        &["-disable-geoip", "-metrics-log", text],
        &[("SNOWFLAKE_BROKER_METRICS__METRICS_INTERVAL", "50ms")],
        "is not a metrics log",
    )
    .await;
    let metrics = foreign.request("GET /metrics", "", "").await;
    assert!(metrics.starts_with("HTTP/1.1 404"), "{metrics}");
    assert_eq!(fs::read_to_string(text).unwrap(), "no metrics\n");

    let nowhere = "/nowhere/at/all";
    expect_warning(
        &["-disable-geoip", "-metrics-log", nowhere],
        &[],
        "metrics.metrics_log: cannot write /nowhere/at/all, and will try again: no such",
    )
    .await;
    expect_warning(
        &["-disable-geoip", "-ip-count-prefix", nowhere],
        &[],
        "metrics.ip_count_prefix: /nowhere/at/all",
    )
    .await;
    expect_warning(
        &["-disable-geoip"],
        &[("SNOWFLAKE_BROKER_METRICS__STATE_DIRECTORY", nowhere)],
        "metrics.state_directory: cannot use /nowhere/at/all",
    )
    .await;
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    let told_once = expect_warning(
        &["-disable-geoip"],
        &[
            ("SNOWFLAKE_BROKER_METRICS__STATE_DIRECTORY", file),
            ("SNOWFLAKE_BROKER_METRICS__SAVE_INTERVAL", "10ms"),
        ],
        &format!("metrics.state_directory: cannot use {file}"),
    )
    .await;
    // Many saves have failed by then.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let log = told_once.log();
    assert_eq!(log.matches(file).count(), 1, "{log}");
    assert_eq!(log.matches("metrics.state_directory").count(), 1, "{log}");
}

/// A directory that appears later is used.
#[tokio::test]
async fn a_metrics_log_whose_directory_comes_late() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("late");
    let log = directory.join("metrics.log");
    let program = expect_warning(
        &["-disable-geoip", "-metrics-log", log.to_str().unwrap()],
        &[
            ("SNOWFLAKE_BROKER_METRICS__METRICS_INTERVAL", "50ms"),
            ("SNOWFLAKE_BROKER_METRICS__SAVE_INTERVAL", "50ms"),
        ],
        ", and will try again",
    )
    .await;
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
    crate::until(|| fs::read_to_string(&log).is_ok_and(|text| !text.is_empty())).await;
    drop(program);
}

struct Databases(TempDir);

impl Databases {
    /// Valid databases.
    fn new() -> Self {
        let databases = Self(tempfile::tempdir().unwrap());
        fs::write(databases.path("geoip"), "83951616,84017151,FR\n").unwrap();
        fs::write(databases.path("geoip6"), "2a01::,2a01::1,FR\n").unwrap();
        databases
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    async fn expect_warning(&self, warning: &str) {
        let (ipv4, ipv6) = (self.path("geoip"), self.path("geoip6"));
        let arguments = ["-geoipdb", &ipv4, "-geoip6db", &ipv6];
        expect_warning(&arguments, &[], warning).await;
    }
}

#[tokio::test]
async fn country_databases() {
    let databases = Databases::new();
    let path = databases.path("geoip");
    fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    let unreadable = format!("geoip.geoipdb: {path}: permission denied");
    databases.expect_warning(&unreadable).await;
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "rubbish\n").unwrap();
    let damaged = format!("geoip.geoipdb: {path}: line 1");
    databases.expect_warning(&damaged).await;
    fs::remove_file(&path).unwrap();
    let missing = "geoip.geoipdb: no such file";
    databases.expect_warning(missing).await;
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let pipe = format!("geoip.geoipdb: {path}: must be a regular file, not a named pipe");
    databases.expect_warning(&pipe).await;
}

/// As in a small container.
#[tokio::test]
async fn collectors_on_a_machine_without_authorities() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().to_str().unwrap();
    for protocol in ["grpc", "http/protobuf"] {
        let program = expect_warning(
            &["-disable-geoip"],
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:4317"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("SSL_CERT_FILE", "/nowhere/ca.pem"),
                ("SSL_CERT_DIR", empty),
            ],
            "otel: cannot export traces: ",
        )
        .await;
        let log = program.log();
        assert!(!log.contains("Error {"), "{log}");
    }
}

/// Like the reference broker.
#[tokio::test]
async fn poll_interval_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("intervals");
    let path = file.to_str().unwrap();
    let arguments = ["-disable-geoip", "-poll-interval-filepath", path];
    expect_warning(
        &arguments,
        &[],
        &format!("poll_interval.filepath: {path}: no such file"),
    )
    .await;
    fs::write(
        path,
        "{\"next\": 1, \"strict_poll_interval\": -1, \"open_poll_interval\": 1000}",
    )
    .unwrap();
    let warning =
        format!("poll_interval.filepath: {path}: strict_poll_interval must not be negative");
    let program = expect_warning(&arguments, &[], &warning).await;
    let unknown = "unknown key \"next\", is ignored";
    assert!(program.log().contains(unknown), "{}", program.log());
    // The valid part of the file is used.
    let shown = program.operator("/prometheus").await;
    let open = "snowflake_broker_poll_interval_seconds{pool=\"open\"} 1";
    assert!(shown.contains(open), "{shown}");
}
