//! The real uTLS, which snowflake-client uses to imitate browsers.

use tokio::process::Command;
use tokio::time::timeout;

use crate::FOREVER;
use crate::certificates::Files;
use crate::support::unpacked;

#[tokio::test]
async fn utls_with_groups_and_shares_in_every_order_gets_through() {
    let files = Files::new();
    let program = files.start("0").await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/program/utls.py");
    let mut command = Command::new("/usr/bin/python3");
    command
        .arg(script)
        .arg(format!("https://{}/robots.txt", program.addr))
        .env("PYTHONPATH", unpacked::file("utls"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .kill_on_drop(true);
    let output = timeout(FOREVER, command.output())
        .await
        .expect("Python hangs")
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "run tests/run once: {said}");
    assert_eq!(output.stdout, b"96\n");
}
