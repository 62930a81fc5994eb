//! The example that holds a broker to the protocol, against the real program.

use std::process::Output;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::support::examples::example;
use crate::support::port;
use crate::support::process::Process;
use crate::support::ready::listens;

/// Bounds a run that would hang; none is expected to come near it.
const LONG_ENOUGH: Duration = Duration::from_mins(2);

/// A broker with an allowed relay pattern, and what the kit says of it.
async fn judged(pattern: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", port::free().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_snowflake-broker"));
    command
        .args(["--disable-tls", "--disable-geoip", "--addr", &address])
        .args(["--allowed-relay-pattern", pattern])
        .env("SNOWFLAKE_BROKER_MATCHING__PROXY_TIMEOUT", "1s")
        .env("SNOWFLAKE_BROKER_ADMIN__LISTEN", "off");
    let mut broker = Process::start(&mut command, folder.path().join("log")).unwrap();
    listens(&mut broker, &address).await.unwrap();
    let mut kit = Command::new(example("conformance"));
    kit.args(["--broker-url", &format!("http://{address}/")])
        .args(["--section", "atterns"])
        .kill_on_drop(true);
    timeout(LONG_ENOUGH, kit.output()).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_kit_finds_nothing_wrong_with_the_program() {
    let output = judged("^snowflake.torproject.net$").await;
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{report}");
    assert!(report.contains("\nRelay patterns\n"), "{report}");
    assert!(report.ends_with("\n7 cases, 0 failed\n"), "{report}");
}

#[tokio::test]
async fn the_kit_says_what_is_wrong() {
    let output = judged("^example.com$").await;
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{report}");
    let problem =
        "FAILED  the same name\n          \"Status\" must be \"no match\", but it is 200: ";
    assert!(report.contains(problem), "{report}");
}
