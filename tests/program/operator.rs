//! The operator endpoints, and cases in which they are unavailable.

use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use http::StatusCode;
use rustix::process::Signal;
use tempfile::NamedTempFile;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::support::messages::{client_poll, proxy_poll};
use crate::support::peer::Peer;
use crate::{
    FEW_CONNECTIONS, FOREVER, OPERATOR_LISTEN, Program, command, exchange, free_address, result,
};

const EXACT: &str = "snowflake_broker_proxy_polls_total";

/// The status line of an operator endpoint; empty if nothing listens.
async fn status(addr: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    if TcpStream::connect(addr).await.is_err() {
        return String::new();
    }
    let reply = exchange(addr, request.as_bytes()).await;
    reply.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn exact_counts_are_on_the_operators_address_alone_over_both_versions_of_http() {
    let program = Program::start(&[]).await;
    let public = program.request("GET /prometheus", "", "").await;
    assert!(public.starts_with("HTTP/1.1 200"), "{public}");
    assert!(
        public.contains("snowflake_rounded_proxy_poll_total"),
        "{public}"
    );
    assert!(
        !public.contains("snowflake_broker_") && !public.contains("process_"),
        "{public}"
    );
    assert!(
        public
            .to_lowercase()
            .contains("\r\ncache-control: no-store\r\n"),
        "{public}"
    );
    for mut operator in [
        Peer::http1(program.operator).await,
        Peer::http2(program.operator).await,
    ] {
        for (path, text) in [
            ("/prometheus", EXACT),
            ("/debug", "current snowflakes available: 0"),
            ("/livez", "ok"),
            ("/readyz", "ok"),
        ] {
            let (status, body) = operator.post(path, String::new()).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert!(body.contains(text), "{path}: {body}");
        }
        let (status, _) = operator.post("/proxy", proxy_poll("a", "open")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    for path in ["GET /livez", "GET /readyz"] {
        let reply = program.request(path, "", "").await;
        assert!(reply.starts_with("HTTP/1.1 404"), "{reply}");
    }
}

/// A load balancer stops sending requests before the broker stops, and observers can
/// watch it to the end.
#[tokio::test]
async fn a_broker_that_stops_is_alive_and_not_ready() {
    let program = Program::start_with(|addr| {
        let mut command = command(addr, &["--disable-geoip"]);
        command.env("SNOWFLAKE_BROKER_MATCHING__DRAIN_GRACE", "1m");
        command
    })
    .await;
    assert_eq!(status(program.operator, "/readyz").await, "HTTP/1.1 200 OK");
    program.signal(Signal::TERM, "stopping").await;
    let not_ready = timeout(FOREVER, async {
        while status(program.operator, "/readyz").await != "HTTP/1.1 503 Service Unavailable" {
            sleep(Duration::from_millis(10)).await;
        }
    });
    not_ready.await.expect("it stays ready");
    let told = program.operator("/readyz").await;
    assert!(told.ends_with("\r\n\r\nstopping\n"), "{told}");
    assert_eq!(status(program.operator, "/livez").await, "HTTP/1.1 200 OK");
    assert!(program.metrics().await.contains(EXACT));
    program.signal(Signal::TERM, "second signal").await;
    let (status, log) = program.end().await;
    assert!(status.success(), "{status}\n{log}");
}

/// Two brokers on one machine with minimal settings, in a separate network.
#[tokio::test]
async fn the_second_broker_of_a_machine_does_without_the_default_address() {
    let script = "set -euo pipefail\n\
        ip link set lo up\n\
        broker() { exec \"$BROKER\" --disable-tls --disable-geoip --addr 127.0.0.1:$1 2>$1.log; }\n\
        until_open() { until (: >/dev/tcp/127.0.0.1/$1) 2>/dev/null; do sleep 0.05; done; }\n\
        broker 8001 & until_open 8001; until_open 9580\n\
        broker 8002 & until_open 8002\n\
        curl --silent --fail http://127.0.0.1:9580/readyz\n\
        curl --silent --fail http://127.0.0.1:8002/debug\n";
    let folder = tempfile::tempdir().unwrap();
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--map-root-user", "--net", "--pid", "--fork"])
        .args(["--kill-child", "bash", "-c", script])
        .current_dir(folder.path())
        .env("BROKER", env!("CARGO_BIN_EXE_snowflake-broker"))
        .env("SNOWFLAKE_BROKER_TELEMETRY__UNSAFE_LOGGING", "true")
        .envs(FEW_CONNECTIONS)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(FOREVER, unshare.output()).await.unwrap().unwrap();
    let logs =
        ["8001.log", "8002.log"].map(|log| fs::read_to_string(folder.path().join(log)).unwrap());
    assert!(output.status.success(), "{output:?}\n{logs:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.starts_with("ok\ncurrent snowflakes available: 0"),
        "{said}"
    );
    let [first, second] = logs;
    assert!(
        first.contains("operator=\"127.0.0.1:9580\"") && !first.contains("WARN"),
        "{first}"
    );
    let warning = "operator.listen: cannot listen on 127.0.0.1:9580";
    assert!(
        second.contains(warning) && second.contains("or to off"),
        "{second}"
    );
    assert!(second.contains("operator=\"off\""), "{second}");
}

#[tokio::test]
async fn an_address_that_somebody_asked_for_is_insisted_on() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = other.local_addr().unwrap();
    let free = free_address();
    for wrong in [taken.to_string(), format!("{free},{taken}")] {
        let mut program = command(free_address(), &["--disable-tls", "--disable-geoip"]);
        program.env(OPERATOR_LISTEN, wrong);
        let output = timeout(FOREVER, program.output()).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let last = said.lines().last().unwrap();
        let problem = format!("operator.listen: cannot listen on {taken}: ");
        assert!(
            last.contains(&problem) && last.contains("ss -ltnp"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn several_addresses_and_none() {
    let (one, two) = (free_address(), free_address());
    let (_program, _log) = listening_at(&format!("{one}, {two}")).await;
    for addr in [one, two] {
        assert_eq!(status(addr, "/livez").await, "HTTP/1.1 200 OK");
    }
    for off in ["off", ""] {
        let (_program, log) = listening_at(off).await;
        let log = fs::read_to_string(log.path()).unwrap();
        assert!(
            log.contains("operator=\"off\"") && !log.contains("WARN"),
            "{log}"
        );
    }
}

/// A broker with the operator endpoints at this address, once it serves clients.
async fn listening_at(listen: &str) -> (Child, NamedTempFile) {
    let log = NamedTempFile::new().unwrap();
    let addr = free_address();
    let mut program = command(addr, &["--disable-tls", "--disable-geoip"]);
    program
        .env(OPERATOR_LISTEN, listen)
        .stderr(log.reopen().unwrap());
    let program = program.spawn().unwrap();
    let serving = timeout(FOREVER, async {
        while !fs::read_to_string(log.path())
            .unwrap()
            .contains("serving clients and proxies")
        {
            sleep(Duration::from_millis(10)).await;
        }
    });
    serving.await.expect("it does not serve");
    (program, log)
}

#[tokio::test]
async fn sighup_changes_the_operators_networks() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    fs::write(&file, "").unwrap();
    let program = Program::start(&["-config", file.to_str().unwrap()]).await;
    let shown = async |headers: &str| program.request("GET /prometheus", headers, "").await;
    assert!(!shown("").await.contains(EXACT));
    fs::write(&file, "[operator]\nnetworks = [\"127.0.0.0/8\"]\n").unwrap();
    program.signal(Signal::HUP, "configuration reloaded").await;
    assert!(shown("").await.contains(EXACT));
    for header in [
        "X-Forwarded-For: 127.0.0.1",
        "X-Real-IP: 127.0.0.1",
        "Via: a",
    ] {
        let shown = shown(&format!("{header}\r\n")).await;
        assert!(!shown.contains(EXACT), "{header}");
    }
}

/// The operator sees a client's poll at once and exactly, strangers see it rounded.
#[tokio::test]
async fn a_denied_client_is_one_to_the_operator_and_eight_to_strangers() {
    let program = Program::start(&[]).await;
    let client = program
        .start_post("/client", client_poll("x", "restricted"))
        .await;
    assert!(result(client).await["error"].is_string());
    let exact = "snowflake_broker_client_polls_total{rendezvous=\"http\",nat=\"restricted\",outcome=\"denied\"} 1\n";
    let metrics = program.metrics().await;
    assert!(metrics.contains(exact), "{metrics}");
    let public = program.request("GET /prometheus", "", "").await;
    let rounded = public.lines().find(|line| {
        line.starts_with("snowflake_rounded_client_poll_total{nat=\"restricted\",status=\"denied\"")
            && line.contains("rendezvous_method=\"http\"")
    });
    assert!(rounded.unwrap().ends_with(" 8"), "{public}");
}
