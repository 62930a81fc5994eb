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

/// The allowed relay pattern that the cases need.
const ALLOWED: &str = "^snowflake.torproject.net$";

/// A broker with an allowed relay pattern, and what the kit with these options says of it.
async fn judged(pattern: &str, options: &[&str]) -> Output {
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
        .args(options)
        .kill_on_drop(true);
    timeout(LONG_ENOUGH, kit.output()).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_kit_finds_nothing_wrong_with_the_program() {
    let output = judged(ALLOWED, &["--section", "atterns"]).await;
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{report}");
    assert!(report.contains("\nRelay patterns\n"), "{report}");
    assert!(report.ends_with("\n8 cases, 0 failed\n"), "{report}");
}

#[tokio::test]
async fn the_kit_says_what_is_wrong() {
    let output = judged("^example.com$", &["--section", "atterns"]).await;
    let report = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{report}");
    let problem =
        "FAILED  the same name\n          \"Status\" must be \"no match\", but it is 200: ";
    assert!(report.contains(problem), "{report}");
}

/// A case that nobody could pass says nothing against a broker.
#[tokio::test]
async fn the_kit_skips_what_a_broker_need_not_have() {
    for (options, line, end) in [
        (
            &["--section", "metrics log"][..],
            "\n  skipped, all 10: the broker has no /metrics\n",
            "\n0 cases, 0 failed, 10 skipped\n",
        ),
        (
            &["--section", "NAT probes"],
            "\n  skipped, all 9: no --probe-url is given\n",
            "\n0 cases, 0 failed, 9 skipped\n",
        ),
        (
            &["--section", "SQS"],
            "\n  skipped, all 6: this program does not write to queues of SQS\n",
            "\n0 cases, 0 failed, 6 skipped\n",
        ),
        (
            &["--version", "2.10.1", "--section", "Relay"],
            "\n  skipped another name: later versions do this\n",
            "\n7 cases, 0 failed, 1 skipped\n",
        ),
    ] {
        let output = judged(ALLOWED, options).await;
        let report = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{report}");
        assert!(report.contains(line), "{report}");
        assert!(report.ends_with(end), "{report}");
    }
}
