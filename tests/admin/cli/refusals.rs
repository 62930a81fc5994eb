//! The errors and exit codes of failed calls.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::geteuid;
use tokio::net::{TcpListener, UnixListener};
use tokio::process::Command;

use crate::cli::broker::{BRIDGE, Broker, operator, run, words, write};

async fn fail(line: &str) -> (i32, String) {
    let said = run(&mut operator(words(line))).await;
    assert_eq!(said.stdout, "", "{line}");
    (said.code, said.stderr)
}

#[tokio::test]
async fn wrong_command_lines() {
    for line in [
        "",
        "nothing",
        "status --no-such-option",
        "status --addr :1",
        "interval --open soon",
        "polls --limit -1",
        "bridges list --as-file --json",
        "log",
        "--address nowhere status",
        "--address unix:/nowhere --tls-ca a.pem status",
        "--address 192.0.2.1:1 --insecure --tls-ca a.pem status",
        "--address 127.0.0.1:1 --tls-cert a.pem status",
        "--address 127.0.0.1:1 --tls-ca /nowhere status",
        "--address 127.0.0.1:1 --token-file /nowhere status",
        "--config /nowhere status",
        "bridges check /nowhere",
    ] {
        let (code, message) = fail(line).await;
        assert_eq!(code, 2, "{line}: {message}");
        assert!(!message.is_empty(), "{line}");
    }
}

#[tokio::test]
async fn the_culprit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "bridges", &format!("{BRIDGE}{{}}\n"));
    let (code, message) = fail(&format!("bridges check {file}")).await;
    assert_eq!(code, 2);
    assert!(
        message.starts_with(&format!("{file}: line 2: ")),
        "{message}"
    );
    let nothing = write(folder.path(), "ca.pem", "no certificate");
    let (code, message) = fail(&format!("--address 127.0.0.1:1 --tls-ca {nothing} status")).await;
    assert_eq!(code, 2);
    assert!(
        message.starts_with(&format!("--tls-ca: {nothing}: ")),
        "{message}"
    );
}

#[tokio::test]
async fn every_wrong_field_has_a_line() {
    let broker = Broker::start().await;
    let (code, message) = broker.refuse("interval --open 100ms --strict 25h").await;
    assert_eq!(code, 1);
    assert_eq!(
        message,
        "poll_intervals.open: must be between 1 s and 24 h (got 100 ms)\n\
         poll_intervals.strict: must be between 1 s and 24 h (got 25 h)\n"
    );
    for (line, culprit) in [
        ("polls --filter 'x = y'", "filter: "),
        ("log a=b=c", "filter: "),
        ("log info --for 25h", "ttl: "),
        ("drain --grace 2h", "grace: "),
        (
            "relay --allowed 'a b'",
            "relay_policy.allowed_relay_pattern: ",
        ),
        ("watch --interval 1ms", "interval: "),
    ] {
        let (code, message) = broker.refuse(line).await;
        assert_eq!(code, 1, "{line}");
        assert!(message.starts_with(culprit), "{line}: {message}");
        assert_eq!(message.lines().count(), 1, "{line}: {message}");
    }
}

#[tokio::test]
async fn a_broker_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let line = format!("status --address unix:{}", socket.display());
    let (code, message) = fail(&line).await;
    assert_eq!(code, 1);
    assert!(
        message.contains("no such socket: is the broker running"),
        "{message}"
    );
    assert!(message.starts_with("unix:/"), "{message}");

    // A crashed broker has left its socket.
    drop(UnixListener::bind(&socket).unwrap());
    let (code, message) = fail(&line).await;
    assert_eq!(code, 1);
    assert!(message.contains("nothing listens there"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[tokio::test]
async fn a_socket_that_is_not_for_us() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let socket = folder.path().join("admin.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, Permissions::from_mode(0o000)).unwrap();
    let status = format!("status --address {}", socket.display());
    let mut command = operator(words(&status));
    if geteuid().is_root() {
        // Root has access to everything, so run as another user.
        let program = folder.path().join("program");
        fs::copy(env!("CARGO_BIN_EXE_snowflake-broker"), &program).unwrap();
        command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(&program).arg("admin").args(words(&status));
    }
    let said = run(&mut command).await;
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("permission denied"), "{}", said.stderr);
    assert!(said.stderr.contains("group"), "{}", said.stderr);
}

#[tokio::test]
async fn a_broker_that_says_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = silent.local_addr().unwrap();
    let (code, message) = fail(&format!("status --address {addr} --timeout 200ms")).await;
    assert_eq!(code, 1);
    assert_eq!(message, "the broker did not answer within 200ms\n");
}

#[tokio::test]
async fn whoever_reads_may_stop_reading() {
    let broker = Broker::start().await;
    let program = env!("CARGO_BIN_EXE_snowflake-broker");
    let listen = &broker.listen;
    let script = format!(
        "set -o pipefail; {program} admin watch --interval 100ms --address unix:{listen} | head -n 1"
    );
    let said = run(Command::new("bash").args(["-c", &script])).await;
    assert_eq!((said.code, &*said.stderr), (0, ""));
    assert_eq!(said.stdout.lines().count(), 1);
}
