//! Failures to start: one line with advice, and an exit code that tells whether to retry.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use crate::{FEW_CONNECTIONS, FOREVER};

/// An error that persists.
const CONFIGURATION: i32 = 2;
/// An error outside the configuration.
const OTHER: i32 = 1;
const DISABLE_GEOIP: &str = "SNOWFLAKE_BROKER_GEOIP__DISABLE";

/// A folder with a certificate, its key and other files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        // Keys that others can read result in a warning.
        fs::set_permissions(&files.0, Permissions::from_mode(0o700)).unwrap();
        let pair = pair();
        fs::write(files.path("cert.pem"), pair.0).unwrap();
        fs::write(files.path("key.pem"), pair.1).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The flags for its certificate and the key with this name.
    fn flags(&self, key: &str) -> [String; 2] {
        let flag = |name: &str, path: &Path| format!("-{name}={}", path.display());
        [
            flag("cert", &self.path("cert.pem")),
            flag("key", &self.path(key)),
        ]
    }
}

fn pair() -> (String, String) {
    let pair = rcgen::generate_simple_self_signed(["broker.example".to_owned()]).unwrap();
    (pair.cert.pem(), pair.signing_key.serialize_pem())
}

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
    program.env(DISABLE_GEOIP, "true").envs(FEW_CONNECTIONS);
    program
}

/// A user without any privileges, in an isolated network, who still owns its files.
fn unprivileged() -> Command {
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--user", "--net", "--"])
        .arg(env!("CARGO_BIN_EXE_snowflake-broker"))
        .env(DISABLE_GEOIP, "true")
        .envs(FEW_CONNECTIONS);
    unshare
}

/// The only line of output, which must begin like this, for this exit code.
async fn expect_failure(mut command: Command, code: i32, beginning: &str) -> String {
    command.env("SNOWFLAKE_BROKER_TELEMETRY__LOG_LEVEL", "error");
    let said = failure(command, code).await;
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with(beginning), "{said}");
    said
}

/// The output of a program that must end with this exit code.
async fn failure(mut command: Command, code: i32) -> String {
    // Otherwise there is a warning about peers that may claim to forward.
    command.env("SNOWFLAKE_BROKER_HTTP__FORWARDED_BY", "none");
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(FOREVER, output)
        .await
        .unwrap_or_else(|_| panic!("it does not end: {command:?}"))
        .expect("unshare is missing: run tests/run once");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{said}");
    said
}

#[tokio::test]
async fn a_port_that_is_taken() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let mut command = program();
    command.args(["-disable-tls", "-addr", &addr]);
    let beginning = format!("listener.addr: cannot listen on {addr}: address already in use");
    let said = expect_failure(command, OTHER, &beginning).await;
    assert!(said.contains("another program listens there"), "{said}");
}

#[tokio::test]
async fn a_low_port_without_the_capability() {
    for addr in [":443", "0.0.0.0:80"] {
        let mut command = unprivileged();
        command.args(["-disable-tls", "-addr", addr]);
        let beginning = format!("listener.addr: cannot listen on {addr}: permission denied");
        let said = expect_failure(command, OTHER, &beginning).await;
        assert!(said.contains("CAP_NET_BIND_SERVICE"), "{said}");
        assert!(said.contains("socket activation"), "{said}");
    }
}

#[tokio::test]
async fn a_check_by_somebody_who_may_not_listen_says_what_to_do() {
    let mut command = unprivileged();
    command.args(["check-config", "-disable-tls", "-disable-geoip"]);
    let beginning = "listener.addr: cannot listen on :443: permission denied (needs \
                     CAP_NET_BIND_SERVICE: ";
    let said = expect_failure(command, CONFIGURATION, beginning).await;
    assert!(said.contains("as the service's user"), "{said}");
    assert!(said.contains("--no-files)"), "{said}");
}

#[tokio::test]
async fn an_address_of_another_machine() {
    let mut command = program();
    command.args(["-disable-tls", "-addr", "192.0.2.1:8080"]);
    let beginning = "listener.addr: cannot listen on 192.0.2.1:8080: cannot assign";
    let said = expect_failure(command, OTHER, beginning).await;
    assert!(said.contains("does not have that address"), "{said}");
}

#[tokio::test]
async fn a_name_that_nobody_knows() {
    let mut command = unprivileged();
    command.args(["-disable-tls", "-addr", "broker.invalid:8080"]);
    let beginning = "listener.addr: cannot listen on broker.invalid:8080: failed to lookup address";
    expect_failure(command, OTHER, beginning).await;
}

/// Starts it, and checks its configuration: both must report the same.
async fn expect_wrong_file(arguments: &[String], beginning: &str) {
    for command in [None, Some("check-config")] {
        let mut program = unprivileged();
        program.args(command).args(arguments);
        expect_failure(program, CONFIGURATION, beginning).await;
    }
}

#[tokio::test]
async fn files_of_the_certificate_that_will_not_do() {
    let files = Files::new();
    let missing = files.path("missing.pem").display().to_string();
    expect_wrong_file(
        &files.flags("missing.pem"),
        &format!("tls.key: {missing}: no such file"),
    )
    .await;
    let private = files.path("private.pem");
    fs::copy(files.path("key.pem"), &private).unwrap();
    fs::set_permissions(&private, Permissions::from_mode(0o0)).unwrap();
    expect_wrong_file(
        &files.flags("private.pem"),
        &format!("tls.key: {}: permission denied", private.display()),
    )
    .await;
    fs::write(files.path("other.pem"), pair().1).unwrap();
    expect_wrong_file(
        &files.flags("other.pem"),
        &format!(
            "tls.key: {}: is not the key of the certificate in tls.cert, {}\n",
            files.path("other.pem").display(),
            files.path("cert.pem").display()
        ),
    )
    .await;
    expect_wrong_file(
        &files.flags("cert.pem"),
        &format!(
            "tls.key: {}: has a certificate in it instead of a private key\n",
            files.path("cert.pem").display()
        ),
    )
    .await;
    fs::write(files.path("cert.pem"), "no certificate\n").unwrap();
    expect_wrong_file(
        &files.flags("key.pem"),
        &format!(
            "tls.cert: {}: has no certificate in it\n",
            files.path("cert.pem").display()
        ),
    )
    .await;
}

#[tokio::test]
async fn other_files_that_will_not_do() {
    let files = Files::new();
    fs::write(files.path("text"), "rubbish\n").unwrap();
    let text = files.path("text").display().to_string();
    for (argument, beginning) in [
        (
            "-bridge-list-path=/nowhere/b".to_owned(),
            "broker.bridge_list_path: /nowhere/b: no such file",
        ),
        (
            format!("-bridge-list-path={text}"),
            "broker.bridge_list_path: ",
        ),
    ] {
        expect_wrong_file(&["-disable-tls".to_owned(), argument], beginning).await;
    }
}

#[tokio::test]
async fn every_wrong_file_is_found_by_the_check() {
    let mut command = program();
    command
        .args(["check-config", "-cert=/nowhere/c", "-key=/nowhere/k"])
        .args(["-bridge-list-path=/nowhere/b", "-metrics-log=/nowhere/m"])
        .env("SNOWFLAKE_BROKER_ADMIN__LISTEN", "/nowhere/a");
    let said = failure(command, CONFIGURATION).await;
    let keys: Vec<&str> = said
        .lines()
        .filter_map(|line| {
            line.rsplit_once(": /nowhere/")
                .or(line.split_once(": cannot"))
        })
        .map(|(key, _)| key)
        .collect();
    let expected = [
        "warning: metrics.metrics_log",
        "tls.cert",
        "broker.bridge_list_path",
        "admin.listen",
    ];
    for key in expected {
        assert!(
            said.lines().any(|line| line.starts_with(key)),
            "{key}: {said}"
        );
    }
    assert_eq!(keys.len(), expected.len(), "{said}");
}

#[tokio::test]
async fn host_names_that_get_no_certificate() {
    for name in ["192.0.2.1", "*.broker.example", "broker_.example"] {
        let mut command = program();
        command.args(["-acme-hostnames", name]);
        expect_failure(command, CONFIGURATION, "acme.hostnames: ").await;
    }
}

#[tokio::test]
async fn a_queue_that_cannot_be() {
    let mut command = program();
    command.args(["-disable-tls", "-broker-sqs-name=a b"]);
    expect_failure(command, CONFIGURATION, "sqs.queue_name: ").await;
}

/// Directories that nobody can fix, or where everything would be repeated at every start:
/// a retry does not help.
#[tokio::test]
async fn directories_that_will_not_do() {
    let files = Files::new();
    let theirs = files.path("theirs");
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("certificate.json"), "{}").unwrap();
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let acme = [
        "-acme-hostnames=broker.example".to_owned(),
        format!("-acme-cert-cache={}", theirs.display()),
    ];
    set(&theirs, 0o700);
    set(&theirs.join("certificate.json"), 0o000);
    let beginning = format!(
        "acme.cert_cache: {}/certificate.json: is it another user's?",
        theirs.display()
    );
    expect_wrong_file(&acme, &beginning).await;
    set(&theirs.join("certificate.json"), 0o600);
    for mode in [0o000, 0o500] {
        set(&theirs, mode);
        let beginning = format!(
            "acme.cert_cache: {}: is it another user's?",
            theirs.display()
        );
        expect_wrong_file(&acme, &beginning).await;
        let socket = theirs.join("admin.sock");
        let config = files.path("config.toml");
        fs::write(&config, format!("[admin]\nlisten = {socket:?}\n")).unwrap();
        let arguments = [
            "-disable-tls".to_owned(),
            format!("--config={}", config.display()),
        ];
        let beginning = format!("admin.listen: cannot listen on {}: ", socket.display());
        expect_wrong_file(&arguments, &beginning).await;
    }
    set(&theirs, 0o700);
}

fn make_pipe(path: &Path) -> String {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
    path.display().to_string()
}

/// It once hung: nothing writes to the pipe.
#[tokio::test]
async fn files_that_are_pipes_or_devices() {
    let files = Files::new();
    let pipe = make_pipe(&files.path("pipe"));
    let problem = "must be a regular file, not a named pipe";
    expect_wrong_file(&files.flags("pipe"), &format!("tls.key: {pipe}: {problem}")).await;
    let arguments = [
        "-disable-tls".to_owned(),
        format!("-bridge-list-path={pipe}"),
    ];
    let beginning = format!("broker.bridge_list_path: {pipe}: {problem}");
    expect_wrong_file(&arguments, &beginning).await;
    let endless = ["-disable-tls", "-bridge-list-path=/dev/zero"].map(str::to_owned);
    let beginning = "broker.bridge_list_path: /dev/zero: must be a regular file, not a device";
    expect_wrong_file(&endless, beginning).await;

    let config = format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n\
         [[admin.tokens]]\nname = \"alice\"\nrole = \"operator\"\nfile = {pipe:?}\n"
    );
    let file = files.path("config.toml");
    fs::write(&file, config).unwrap();
    let arguments = [
        "-disable-tls".to_owned(),
        format!("--config={}", file.display()),
    ];
    let beginning = format!("admin.tokens: the token of \"alice\": {pipe}: {problem}");
    expect_wrong_file(&arguments, &beginning).await;
}

/// As from a program that generates the configuration.
#[tokio::test]
async fn a_configuration_may_come_through_a_pipe() {
    let mut shell = Command::new("bash");
    shell
        .args([
            "-c",
            "\"$0\" check-config --config <(echo '[tls]'; echo 'disable = true')",
        ])
        .arg(env!("CARGO_BIN_EXE_snowflake-broker"))
        .env("SNOWFLAKE_BROKER_LISTENER__ADDR", ":0")
        .env(DISABLE_GEOIP, "true");
    failure(shell, 0).await;
}

#[tokio::test]
async fn a_cache_of_certificates_that_another_broker_has() {
    let files = Files::new();
    let cache = files.path("cache");
    fs::create_dir(&cache).unwrap();
    let theirs = fs::File::open(&cache).unwrap();
    theirs.lock().unwrap();
    let mut command = program();
    command
        .args(["-acme-hostnames=broker.example", "-addr=127.0.0.1:0"])
        .arg(format!("-acme-cert-cache={}", cache.display()));
    let id = std::process::id();
    let beginning = format!(
        "acme.cert_cache: {} is in use by process {id} (",
        cache.display()
    );
    let said = failure(command, OTHER).await;
    assert!(said.contains(&beginning), "{said}");
}
